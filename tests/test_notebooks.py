"""Every notebook is one test: nbdev runs its cells, and the solutions of its exercises with their checks, in a fresh
process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
NOTEBOOKS = [path for path in sorted(NBS.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
CHAPTERS = "1_method 2_solver 3_estimator 4_evaluation 5_cells 6_shell 7_paper".split()
RUN = """
import re, sys
from pathlib import Path
from execnb.nbio import mk_cell
from nbdev import process
from nbdev.config import get_config
from nbdev.test import test_nb

plain = process.read_nb

def with_solutions(path):
    notebook, cells = plain(path), []
    for cell in notebook.cells:
        exercise = cell.cell_type == "markdown" and "<summary>Solution</summary>" in cell.source
        parts = cell.source.split("<summary>Solution</summary>") if exercise else ["", ""]
        solution, check = (re.findall("```python\\n(.*?)```", part, re.S) for part in ("".join(parts[1:]), parts[0]))
        cells += [cell, *map(mk_cell, solution + check)]
    notebook.cells = cells
    return notebook

process.read_nb = with_solutions
passed, _ = test_nb(Path(sys.argv[1]), skip_flags=get_config().tst_flags.split(), basepath=get_config().config_path)
sys.exit(not passed)
"""


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
def test_notebook_runs(path):
    small = {**os.environ, "GGML_NB_SMALL": "1"}  # the tables and figures of the paper on little data
    done = subprocess.run(
        [sys.executable, "-c", RUN, path], cwd=ROOT, env=small, stderr=subprocess.PIPE, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebook_was_saved_with_its_outputs(path):
    code = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not code or outputs, f"no outputs: python tools/run_notebooks.py nbs/{name(path)}"
    assert not [output for output in outputs if output["output_type"] == "error"]
