# Each target works on its own in a fresh clone: it makes .venv and installs what it needs first.
PYTHON ?= python3
BIN := .venv/bin
export MPLBACKEND ?= Agg

.PHONY: help demo test test-newest fuzz docs notebooks paper lab dist clean
.DELETE_ON_ERROR:

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/stamp-run  ## the main job on simulated data: accuracy, pictures and a report in demo-report/
	$(BIN)/ggml-nb demo -o demo-report

test: .venv/stamp-dev  ## every notebook and every test
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-newest:  ## the same with the newest releases of everything, without constraints, in .venv-newest
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -e ".[dev,scrna,docs]"
	.venv-newest/bin/python -m pytest -n 2 --dist worksteal

fuzz: .venv/stamp-dev  ## five thousand damaged files, and a table of attacks: none may crash, hang or fill the memory
	$(BIN)/python tests/fuzz.py 5000 1
	$(BIN)/python tests/attacks.py

docs: .venv/stamp-dev  ## the site, from the notebooks' saved outputs, in _site/
	$(BIN)/python docs/build.py

notebooks: .venv/stamp-dev  ## run every notebook, save its outputs, then remake ggml_nb/ and README.md
	$(BIN)/nbdev_export
	$(BIN)/python tools/run_notebooks.py
	$(BIN)/python tools/make_readme.py

paper: .venv/stamp-paper  ## tables and figures of the paper, made again from an empty cache
	rm -rf nbs/7_paper/.cache
	$(BIN)/python tools/run_notebooks.py nbs/7_paper/*.ipynb

lab: .venv/stamp-lab  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=nbs

dist: .venv/stamp-dev  ## wheel and source archive in dist/
	$(BIN)/python -m build

clean:  ## remove .venv and all that the other targets made, but what git tracks
	rm -rf .venv .venv-newest _site _proc demo-report nbs/7_paper/.cache build dist *.egg-info .hypothesis .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp says that .venv holds a set of packages; it is written after pip succeeded, and is older than a changed pin.
.venv/stamp-run:  extras :=
.venv/stamp-dev:  extras := [dev,scrna,docs]
.venv/stamp-paper: extras := [dev,baselines,scrna]
.venv/stamp-lab:  extras := [dev]
.venv/stamp-lab:  also := jupyterlab
.venv/stamp-%: constraints.txt settings.ini setup.py pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".$(extras)" $(also)
	@touch $@
