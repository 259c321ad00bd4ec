"""What all tests share: no windows, reproducible examples, and where the real files are."""

import os
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# numba compiles on the first example, so time says nothing; on CI the same examples come every time
settings.register_profile("ggml_nb", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ggml_nb")


@pytest.fixture(scope="session")
def data_dir():
    "The folder of real .h5ad files: $GGML_NB_DATA, or ../shared/data beside the repository."
    folder = Path(os.environ.get("GGML_NB_DATA") or ROOT.parent / "shared" / "data")
    if not any(folder.glob("*.h5ad")):
        pytest.skip(f"no real data: no .h5ad file in {folder} (set GGML_NB_DATA)")
    return folder
