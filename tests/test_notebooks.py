"""Every notebook is one test: nbdev runs its cells, and the solutions of its exercises with their checks, in a fresh
process."""

import json
import multiprocessing
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from execnb.nbio import mk_cell
from nbdev import process
from nbdev.config import get_config
from nbdev.test import test_nb as run_nb

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
NOTEBOOKS = [path for path in sorted(NBS.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
CHAPTERS = "1_method 2_solver 3_estimator 4_evaluation 5_cells 6_shell 7_paper".split()
FORK = multiprocessing.get_context("forkserver")  # has imported what most lessons import, and done nothing with it
FORK.set_forkserver_preload(["nbdev.test", "torch", "anndata", "matplotlib.pyplot", "sklearn", "ggml_nb.shell.report"])


def with_solutions(notebook):
    "The same with the solutions of exercises, and the checks of their texts, as cells."
    cells = []
    for cell in notebook.cells:
        exercise = cell.cell_type == "markdown" and "<summary>Solution</summary>" in cell.source
        parts = cell.source.split("<summary>Solution</summary>") if exercise else ["", ""]
        solution, check = (re.findall("```python\n(.*?)```", part, re.S) for part in ("".join(parts[1:]), parts[0]))
        cells += [cell, *map(mk_cell, solution + check)]
    notebook.cells = cells
    return notebook


def run_cells(path, log):
    "In a process of its own: exit status 1, and the failing cell in the log, if one raises."
    os.setsid()
    with open(log, "w") as file:
        os.dup2(file.fileno(), 2)
    os.environ["GGML_NB_SMALL"] = "1"  # the tables and figures of the paper on little data
    plain = process.read_nb
    process.read_nb = lambda path: with_solutions(plain(path))
    config = get_config()
    passed, _ = run_nb(path, skip_flags=config.tst_flags.split(), basepath=config.config_path)
    sys.stderr.flush()
    os._exit(not passed)  # else multiprocessing would wait for joblib's idle workers, five minutes


def name(path):
    return path.relative_to(NBS).as_posix()


def test_every_lesson_is_there():
    "Seven chapters, numbered without a gap; a letter is a part of its neighbour."
    assert sorted(path.name for path in NBS.iterdir() if path.is_dir()) == CHAPTERS
    for chapter in CHAPTERS:
        numbers = [path.stem.split("_")[0] for path in NOTEBOOKS if path.parent.name == chapter]
        tens = sorted({int(number[:2]) for number in numbers})
        assert tens == list(range(10 * int(chapter[0]) + 1, 10 * int(chapter[0]) + 1 + len(tens)))
        assert len(tens) <= 8


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebook_runs(path, tmp_path):
    child = FORK.Process(target=run_cells, args=(path, tmp_path / "stderr"))
    child.start()
    child.join(600)
    child.kill()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)  # workers that it leaves behind
    assert child.exitcode == 0, (tmp_path / "stderr").read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebook_was_saved_with_its_outputs(path):
    code = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not code or outputs, f"no outputs: python tools/run_notebooks.py nbs/{name(path)}"
    assert not [output for output in outputs if output["output_type"] == "error"]
