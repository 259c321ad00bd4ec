"""The house: chapters import downwards only, and importing the package loads nothing heavy."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ggml_nb

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = ["method", "solver", "estimator", "evaluation", "cells", "shell"]
MODULES = [path for chapter in CHAPTERS for path in sorted((ROOT / "ggml_nb" / chapter).glob("[a-z]*.py"))]
# pandas and scikit-learn are still here for missing values, names and sparse distances
METHOD = {"numpy", "scipy", "ot", "torch", "matplotlib", "pandas", "sklearn"}


def imports(path):
    "Dotted names of what a module imports, anywhere in it; its own package by chapter and module."
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = {0: "", 1: f"ggml_nb.{path.parent.name}.", 2: "ggml_nb."}[node.level]
            yield f"{above}{node.module or node.names[0].name}"


def module(path):
    return path.relative_to(ROOT / "ggml_nb").as_posix()


@pytest.mark.parametrize("path", MODULES, ids=module)
def test_a_chapter_imports_from_its_own_and_those_before(path):
    used = [name.split(".")[1] for name in imports(path) if name.startswith("ggml_nb.")]
    above = CHAPTERS[CHAPTERS.index(path.parent.name) + 1 :]
    assert not set(used) & set(above)


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent.name == "method"], ids=module)
def test_the_method_needs_little(path):
    tops = {name.split(".")[0] for name in imports(path)}
    assert tops <= METHOD | set(sys.stdlib_module_names) | {"ggml_nb"}


def test_the_import_is_light_and_knows_every_name():
    heavy = "torch numba anndata umap matplotlib sklearn pandas".split()
    code = f"import sys, ggml_nb; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "[]\n"
    assert set(ggml_nb.__all__) <= set(dir(ggml_nb))
    assert all(hasattr(ggml_nb, name) for name in ggml_nb.__all__)
    assert not hasattr(ggml_nb, "nothing")


@pytest.mark.parametrize("name", [name for name in ggml_nb.__all__ if name not in ("PAPER", "OTResult")])
def test_help_names_every_parameter(name):
    value = getattr(ggml_nb, name)
    methods = [value.fit, value.transform, value.predict] if name == "GGML" else []
    for function in [value, *methods]:
        for parameter in inspect.signature(function).parameters:
            assert parameter == "self" or re.search(rf"^{parameter}( :|$)", function.__doc__, re.M)


FIT = """
import sys, threading
import ggml_nb
seen = set()


def entered(frame, event, arg):
    name = frame.f_globals.get("__name__", "")
    if event == "call" and name.startswith("ggml_nb.") and frame.f_code.co_name != "<module>":
        seen.add(name)


def trace():
    threading.setprofile(entered)
    sys.setprofile(entered)


def report():
    sys.setprofile(None)
    loaded = [m for m in sys.modules if m.startswith("ggml_nb.solver.") or m.startswith("ggml_nb.estimator.")]
    print("ENTERED", *sorted(seen))
    print("LOADED", *sorted(loaded))
"""


def traced(code):
    "Modules of ours in which a function is called, and solver and estimator modules that are loaded."
    run = subprocess.run([sys.executable, "-c", FIT + code], capture_output=True, text=True, check=True)
    lines = [line.split() for line in run.stdout.splitlines() if line.startswith(("ENTERED", "LOADED"))]
    print(*(f"{line[0].lower()} {len(line) - 1}: {' '.join(line[1:])}" for line in lines), sep="\n")
    return [set(line[1:]) for line in lines]


def test_what_a_fit_does_not_ask_for_is_not_on_its_path():
    entered, loaded = traced("""
from ggml_nb import GGML, make_distributions
data = make_distributions(5, n_points=10, seed=0)
model = GGML(random_state=0, n_jobs=1).fit(data)  # compiles, if that is still to do: numba calls our functions then
trace()
model.fit(data)
report()
""")
    off = ("solver.sinkhorn", "solver.cluster", "estimator.checkpoint", "estimator.ground_metrics")
    assert not {f"ggml_nb.{name}" for name in off} & loaded
    assert len(entered) <= 11


def test_the_command_enters_what_it_shows_and_no_more(tmp_path):
    "Judging, ranking, drawing and the page are part of `ggml-nb fit`; other solvers, maps and races are not."
    entered, loaded = traced(f"""
from ggml_nb import make_scrna
from ggml_nb.shell.cli import main
make_scrna(8, 20, 60, n_types=2, n_differential=6, seed=0).write_h5ad({str(tmp_path / "cells.h5ad")!r})
trace()
keys = ["--sample-key", "sample", "--label-key", "label", "--splits", "2", "--figures", "png", "-q"]
try:
    main(["fit", {str(tmp_path / "cells.h5ad")!r}, *keys, "-o", {str(tmp_path / "out")!r}])
except SystemExit as end:
    assert not end.code
report()
""")
    off = ("solver.sinkhorn", "solver.cluster", "estimator.ground_metrics", "estimator.batches")
    assert not {f"ggml_nb.{name}" for name in off} & loaded
    off = ("evaluation.comparison", "evaluation.budget", "evaluation.tuning", "shell.download", "cells.pathways")
    assert not {f"ggml_nb.{name}" for name in off} & entered
    assert len(entered) <= 38


def test_the_front_page_lists_every_lesson():
    text = (ROOT / "nbs" / "index.ipynb").read_text(encoding="utf-8")
    paths = [path.relative_to(ROOT / "nbs").as_posix() for path in (ROOT / "nbs").glob("*/*.ipynb")]
    assert len(paths) > 50 and not [path for path in paths if f"({path})" not in text]
