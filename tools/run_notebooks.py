"""Run notebooks from top to bottom and save them with their outputs, then clean them for git.

    python tools/run_notebooks.py                     every notebook below nbs/
    python tools/run_notebooks.py nbs/2_solver/*.ipynb   only these

Each runs in a fresh process, in its own folder. A cell that raises stops everything: the message names notebook and
cell, the exit status is 1 and that notebook stays as it was. Cells marked `#| eval: false` or `#| notest` keep their
saved outputs; what goes to stderr (progress bars, warnings) is not saved. A second run changes no byte.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def keeps_outputs(cell):
    "Is this a cell that is not run here?"
    from nbdev.process import extract_directives

    flags = extract_directives(cell, remove=False)
    return cell.cell_type != "code" or "notest" in flags or flags.get("eval:") == ["false"]


def run(path):
    "Run, save and clean one notebook; return the failing cell's report, or None."
    from execnb.nbio import read_nb, write_nb
    from execnb.shell import CaptureShell
    from nbdev.clean import nbdev_clean

    os.chdir(path.parent)
    notebook = read_nb(path)
    shell = CaptureShell(path, mpl_format="png")
    shell.run_cell("import matplotlib; matplotlib.rcParams['figure.dpi'] = 100")
    for cell in notebook.cells:
        if keeps_outputs(cell):
            continue
        cell.outputs = []
        shell.cell(cell)
        if shell.exc:
            return shell.prettytb(path)
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    write_nb(notebook, path)
    nbdev_clean(str(path))


def main(paths):
    for path in paths:
        start = time.perf_counter()
        if subprocess.run([sys.executable, __file__, "--one", path]).returncode:
            sys.exit(f"{path} failed; the notebooks after it were not run")
        print(f"{time.perf_counter() - start:6.1f} s  {path.relative_to(ROOT)}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.exit(run(Path(sys.argv[2])))
    named = [Path(name).resolve() for name in sys.argv[1:]]
    every = [p for p in sorted((ROOT / "nbs").rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    main(named or every)
