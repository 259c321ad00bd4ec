"""What all tests share: no windows, reproducible examples, and where the real files are."""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# numba compiles on the first example, so time says nothing; on CI the same examples come every time
settings.register_profile("ggml_nb", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ggml_nb")


def pytest_configure(config):
    "Compile once, before several workers and the processes of their tests would all begin with it."
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        code = "from ggml_nb import GGML, make_distributions as make; GGML(max_epochs=1).fit(make(3, n_points=5))"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)  # what is wrong, the tests will say


@pytest.fixture(scope="session")
def data_dir():
    "The folder of real .h5ad files: $GGML_NB_DATA, or ../shared/data beside the repository."
    folder = Path(os.environ.get("GGML_NB_DATA") or ROOT.parent / "shared" / "data")
    if not any(folder.glob("*.h5ad")):
        pytest.skip(f"no real data: no .h5ad file in {folder} (set GGML_NB_DATA)")
    return folder
