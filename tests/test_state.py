"""What a fit leaves as it was, where nothing can be written, and where many run at once."""

import subprocess
import sys
import textwrap


def run(code, **how):
    "The output of some code in a process of its own."
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, **how)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split(), done.stderr


LIBRARIES = "anndata, h5py, joblib, matplotlib.pyplot, numba, numpy as np, pandas, random, sklearn.svm, torch"


def test_a_fit_touches_no_state_of_the_process():
    "What the libraries set when they are imported, KMP_ variables and warning filters, is theirs; we add nothing."
    out, _ = run(f"""
        import os, sys, warnings, {LIBRARIES}

        def state():
            generator = np.random.get_state()
            return {{
                "numpy": (generator[0], generator[1].tobytes(), *generator[2:]),
                "random": random.getstate(),
                "torch": torch.get_rng_state().numpy().tobytes(),
                "filters": list(warnings.filters),
                "rcParams": dict(matplotlib.rcParams),
                "environment": dict(os.environ),
                "threads": torch.get_num_threads(),
                "dtype": torch.get_default_dtype(),
                "errors": np.geterr(),
                "folder": os.getcwd(),
            }}

        before = state()
        import ggml_nb
        adata = ggml_nb.make_scrna(8, 20, 30, n_differential=5)
        ggml_nb.fit_anndata(adata, "sample", "label", max_epochs=2)
        ggml_nb.rank_genes(adata, n_refits=1)
        after = state()
        assert "torch._dynamo" not in sys.modules  # more than a second, and a filter for warnings
        print(*(name for name in before if before[name] != after[name]), "end")
    """)
    assert out == ["end"]


def test_a_matrix_is_learned_without_pytorch(tmp_path):
    "Importing it, which POT does, too, takes as long as a small fit."
    out, _ = run(
        """
        import sys
        from ggml_nb import make_scrna
        from ggml_nb.__main__ import main

        make_scrna(12, 20, 30, n_differential=5, seed=0).write_h5ad("cells.h5ad")
        keys = "--sample-key", "sample", "--label-key", "label"
        assert main(["fit", "cells.h5ad", *keys, "--splits", "2", "-q", "-o", "result"]) == 0
        print(*(name for name in ("torch", "ot", "umap") if name in sys.modules), "end", file=sys.stdout)
    """,
        cwd=tmp_path,
    )
    assert out[-1] == "end" and not {"torch", "ot", "umap"} & {*out}


def test_without_a_place_for_the_cache_it_compiles_anew_and_says_so_once():
    _, said = run("""
        import numba.core.caching as caching
        caching.CacheImpl._locator_classes = []
        from ggml_nb.solver import simplex, warmstart
        import numpy as np
        assert simplex.units(np.ones(4)).sum() == 2**60
    """)
    assert said.count("no folder for compiled code") == 1


def test_fits_in_threads_leave_the_number_of_threads():
    out, _ = run("""
        import threading, time
        import torch
        from threadpoolctl import threadpool_info
        from ggml_nb import GGML, make_distributions
        from ggml_nb.solver.pairs import one_blas_thread

        def threads():
            return [x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"], torch.get_num_threads()

        torch.set_num_threads(3)
        before, data = threads(), make_distributions(3, n_points=8, seed=0)
        first, second = one_blas_thread, one_blas_thread
        first.__enter__()
        second.__enter__()
        first.__exit__()
        assert set(threads()[0]) <= {1}
        second.__exit__()
        assert threads() == before
        models = [GGML(reg=0.01, max_epochs=2, random_state=0) for _ in range(4)]
        fits = [threading.Thread(target=model.fit, args=(data,)) for model in models]
        for fit in fits:
            fit.start()
            time.sleep(0.02)
        for fit in fits:
            fit.join()
        seen = []
        later = threading.Thread(target=lambda: seen.append(threads()))
        later.start()
        later.join()
        print(threads() == before, seen[0] == before)
    """)
    assert out == ["True", "True"]


def test_cold_starts_at_once(tmp_path):
    "Processes that compile into one new folder at the same time."
    import os

    code = "from ggml_nb.solver.simplex import units; import numpy as np; print(int(units(np.ones(3)).sum() == 2**60))"
    many = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    jobs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=many) for _ in range(4)]
    assert [job.communicate()[0] for job in jobs] == [b"1\n"] * 4
