"""The package as others get it: a wheel, modules that equal the notebooks, a README that equals the landing page."""

import filecmp
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ConfigParser(delimiters=["="])
CONFIG.read(ROOT / "settings.ini", encoding="utf-8")


def run(*command, cwd=ROOT):
    "Run a command; its output, or a failed test that shows it."
    done = subprocess.run([*map(str, command)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    "A copy of what the package and its notebooks are made of, to run tools on."
    folder = tmp_path_factory.mktemp("copy")
    for name in ["nbs", "ggml_nb"]:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ["settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, folder)
    return folder


def same(left, right):
    "Do two folders hold the same files with the same bytes?"
    names = [{p.relative_to(d) for p in d.rglob("*.*") if p.suffix in {".py", ".ipynb"}} for d in (left, right)]
    names = [{n for n in group if ".ipynb_checkpoints" not in n.parts} for group in names]
    assert names[0] == names[1]
    changed = filecmp.cmpfiles(left, right, names[0], shallow=False)[1:]
    assert changed == ([], []), f"changed: {changed}"


def test_modules_are_what_the_notebooks_export(copy):
    shutil.rmtree(copy / "ggml_nb")
    run(sys.executable, "-c", "from nbdev.doclinks import nbdev_export; nbdev_export()", cwd=copy)
    # __init__.py is written by hand but for its version
    init = (ROOT / "ggml_nb" / "__init__.py").read_text(encoding="utf-8")
    assert (copy / "ggml_nb" / "__init__.py").read_text(encoding="utf-8").strip() in init
    (copy / "ggml_nb" / "__init__.py").write_text(init, encoding="utf-8")
    for name in ["__main__.py", "_help.py", "_page.py"]:  # by hand, too
        shutil.copy(ROOT / "ggml_nb" / name, copy / "ggml_nb")
    same(copy / "ggml_nb", ROOT / "ggml_nb")


def test_notebooks_are_clean(copy):
    run(sys.executable, "-c", "from nbdev.clean import nbdev_clean; nbdev_clean()", cwd=copy)
    same(copy / "nbs", ROOT / "nbs")


def test_readme_is_the_landing_page():
    run(sys.executable, "tools/make_readme.py", "--check")


def test_requirements_agree():
    run(sys.executable, "-m", "pip", "check")


def test_wheel_works_without_development_tools(copy, tmp_path):
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, copy)
    [wheel] = tmp_path.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"ggml_nb", f"ggml_nb-{CONFIG['DEFAULT']['version']}.dist-info"}
    venv.create(tmp_path / "env", with_pip=True)
    folder = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    run(folder / "python", "-m", "pip", "install", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    assert "Usage: ggml-nb" in run(folder / "ggml-nb", "-h", cwd=tmp_path)
    assert "Usage: ggml-nb" in run(folder / "python", "-m", "ggml_nb", "-h", cwd=tmp_path)
    check = "import importlib.util, ggml_nb, sys; sys.exit(importlib.util.find_spec('nbdev') is not None)"
    run(folder / "python", "-c", check, cwd=tmp_path)
    run(folder / "python", "-m", "pip", "check", cwd=tmp_path)
