"""Every damaged file and every request that would cost a user something, through the command line, as a table.

python tests/attacks.py    a line a case; exit status 1 where one ended badly

Good is: exit status 2 with one line that starts with "ggml-nb: error", no signal, below 1 GB, within 20 seconds,
nothing new in the folder, and the files that were there as they were, byte for byte.
"""

import os
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / part) for part in ("cells", "estimator")]

from test_damaged import METRIC, with_changes  # noqa: E402
from test_files import HOSTILE  # noqa: E402

from ggml_nb import fit_anndata, make_scrna  # noqa: E402
from ggml_nb.shell.cli import main  # noqa: E402

KEYS = ["--sample-key", "sample", "--label-key", "label"]
FIT = ["fit", "bad.h5ad", *KEYS, "-q", "-o", "out"]


def prepare(folder):
    "Sound files: cells, a metric, gene sets, and the folder of an older result."
    cells = make_scrna(4, 25, 40, n_differential=10, seed=0)
    cells.layers["dense"] = cells.X.toarray()
    cells.obsm["X_some"] = cells.X[:, :5].toarray()
    cells.write_h5ad(folder / "cells.h5ad")
    few = cells[:, :4].copy()
    fit_anndata(few, "sample", "label", gene_filter=None, min_cells=0, rank=2).save(folder / "metric.npz")
    (folder / "sets.gmt").write_text("set\t-\tgene 1\n")
    (folder / "older").mkdir()
    for name in ("report.json", "report.html", "metric.npz"):
        (folder / "older" / name).write_text("an older result")


def spoil(change):
    def make(folder):
        shutil.copy(folder / "cells.h5ad", folder / "bad.h5ad")
        with h5py.File(folder / "bad.h5ad", "r+") as file:
            change(file)

    return make


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def cases():
    "Name, what spoils the folder, arguments."
    for name, (change, _) in HOSTILE.items():
        yield f"file: {name}", spoil(change), FIT
    for name, arrays in METRIC.items():
        yield (
            f"metric: {name}",
            lambda folder, arrays=arrays: with_changes(folder / "metric.npz", folder, **arrays),
            ["genes", "--metric", "bad.npz", "-o", "table.csv"],
        )
    random = np.random.default_rng(0).bytes(5000)
    yield "file: pipe", lambda folder: os.mkfifo(folder / "bad.h5ad"), FIT
    yield "file: device", lambda folder: (folder / "bad.h5ad").symlink_to("/dev/zero"), FIT
    yield "file: folder", lambda folder: (folder / "bad.h5ad").mkdir(), FIT
    yield "file: empty", written("bad.h5ad", b""), FIT
    yield "file: random bytes", written("bad.h5ad", random), FIT
    genes = ["genes", "--metric", "metric.npz", "--gene-sets", "bad.gmt", "-o", "table.csv"]
    yield "gene sets: random bytes", written("bad.gmt", random), genes
    yield "gene sets: no tabs", written("bad.gmt", b"a set"), genes
    keep = lambda folder: None  # noqa: E731
    cells = ["cells.h5ad", *KEYS]
    yield "output: the input", keep, ["distances", "cells.h5ad", *KEYS[:2], "-o", "cells.h5ad"]
    yield "output: the metric", keep, ["genes", "--metric", "metric.npz", "-o", "metric.npz"]
    yield "output: a file there", keep, ["genes", "--metric", "metric.npz", "-o", "sets.gmt"]
    yield "output: older result", keep, ["fit", *cells, "-q", "-o", "older"]
    yield "output: older result, demo", keep, ["demo", "-q", "-o", "older"]
    yield "column that is not there", keep, ["fit", "cells.h5ad", *KEYS[:2], "--label-key", "no", "-q", "-o", "out"]
    yield "option that is not there", keep, ["fit", *cells, "--ranks", "3", "-o", "out"]
    yield "layer that is not there", keep, ["fit", *cells, "--layer", "no", "-q", "-o", "out"]


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def attack(folder, args):
    "Exit status (negative: a signal), seconds, peak memory in MB, and what was said."
    log, began = folder.parent / "log", time.perf_counter()
    if not (pid := os.fork()):
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        os._exit(main(args))
    _, status, used = os.wait4(pid, 0)
    said = [line for line in log.read_text(errors="replace").splitlines() if line]
    return os.waitstatus_to_exitcode(status), time.perf_counter() - began, used.ru_maxrss / 1024, said


def run():
    "The table; True where every case ended well."
    warnings.simplefilter("ignore")
    bad = 0
    print(f"{'case':42s} {'exit':>4s} {'s':>5s} {'MB':>5s}  what was said")
    for name, change, args in cases():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "work")
            folder.mkdir()
            prepare(folder)
            change(folder)
            before = contents(folder)
            status, seconds, memory, said = attack(folder, args)
            same = contents(folder) == before
            well = status == 2 and seconds < 20 and memory < 1000 and same
            well &= len(said) == 1 and said[0].startswith("ggml-nb: error: ")
        bad += not well
        what = said[-1].removeprefix("ggml-nb: error: ")[:90] if said else "nothing"
        print(f"{name:42s} {status:4d} {seconds:5.1f} {memory:5.0f}  {what}{'' if well else '   <- BAD'}", flush=True)
        if not well:
            print(*said, "" if same else "files changed", sep="\n    ")
    print(f"{bad} ended badly")
    return not bad


if __name__ == "__main__":
    sys.exit(not run())
