"""ggml-nb in a process of its own, on real files and on bad ones."""

import json
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from ggml_nb import make_scrna

COMMAND = [str(Path(sys.executable).with_name("ggml-nb"))]
KEYS = ["--sample-key", "sample", "--label-key", "label"]
FILES = {
    "metric.npz", "distances.csv", "embedding.csv", "genes.csv", "report.json",
    "learning_curve.png", "clustermap.png", "umap_samples.png", "umap_cells.png", "genes.png",
}  # fmt: skip


def run(*args, status=0):
    done = subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def real_fit(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit") / "out"
    run("fit", data_dir / "brain_glia_celltype.h5ad", *KEYS, "--group-key", "donor", "--n-cells", 60, "-o", folder)
    return folder


def test_fit_writes_everything(real_fit):
    assert {p.name for p in real_fit.iterdir()} == FILES
    assert not list(real_fit.parent.glob(".out*"))
    report = json.loads((real_fit / "report.json").read_text())
    assert report["accuracy"]["ggml"] >= 0.95
    assert 0 <= report["accuracy"]["euclidean"] <= 1
    assert report["gap"] <= 1e-4
    assert not set(report["train"]) & set(report["test"]) and len(report["train"]) + len(report["test"]) == 54
    D = pd.read_csv(real_fit / "distances.csv", index_col="sample")
    assert D.shape == (54, 54) and np.allclose(D, D.T) and list(D.index) == list(D.columns)
    genes = pd.read_csv(real_fit / "genes.csv")
    assert genes.importance.is_monotonic_decreasing and genes.importance.sum() == pytest.approx(1)
    assert len(pd.read_csv(real_fit / "embedding.csv")) == 54


def test_donors_stay_on_one_side(real_fit, data_dir):
    obs = anndata.read_h5ad(data_dir / "brain_glia_celltype.h5ad", backed="r").obs
    donor = obs.drop_duplicates("sample").set_index("sample").donor
    report = json.loads((real_fit / "report.json").read_text())
    assert not set(donor[report["train"]]) & set(donor[report["test"]])


def test_distances_and_genes_of_a_fit(real_fit, data_dir, tmp_path):
    run(
        "distances",
        data_dir / "brain_glia_celltype.h5ad",
        "--sample-key",
        "sample",
        "--n-cells",
        60,
        "--metric",
        real_fit / "metric.npz",
        "-o",
        tmp_path / "d.csv",
        "-q",
    )
    again, before = (pd.read_csv(p, index_col="sample") for p in (tmp_path / "d.csv", real_fit / "distances.csv"))
    assert np.allclose(again, before, rtol=1e-6)
    gmt = tmp_path / "sets.gmt"
    head = pd.read_csv(real_fit / "genes.csv").gene
    gmt.write_text(
        "\n".join("\t".join([name, "-", *genes]) for name, genes in {"head": head[:20], "tail": head[-20:]}.items())
        + "\n"
    )
    run("genes", "--metric", real_fit / "metric.npz", "--gene-sets", gmt, "-o", tmp_path / "sets.csv")
    sets = pd.read_csv(tmp_path / "sets.csv").set_index("gene_set")
    assert sets.p_value["head"] < 1e-6 < sets.p_value["tail"] and sets.overlap["head"] == 20


def test_evaluate(tmp_path):
    make_scrna(12, 40, 200, seed=1).write_h5ad(tmp_path / "cells.h5ad")
    run("evaluate", tmp_path / "cells.h5ad", *KEYS, "--splits", 2, "--max-epochs", 2, "-o", tmp_path / "out", "-q")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"mean", "std"} == set(report["ggml"]["accuracy"]) and report["splits"] == 2
    assert len(pd.read_csv(tmp_path / "out" / "splits.csv")) == 4


def test_help_is_a_page_to_work_from():
    text = run("-h").stdout
    for word in ("fit", "evaluate", "distances", "genes", "demo", "--sample-key"):
        assert word in text


def broken(tmp_path, change):
    adata = make_scrna(6, 5, 30, n_differential=5, seed=0)
    adata.obs = adata.obs.astype(str)
    change(adata)
    path = tmp_path / "bad.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.mark.parametrize(
    "args, change, message",
    [
        (
            ["--sample-key", "patient", "--label-key", "label"],
            lambda a: None,
            "sample_key='patient' is not a column of obs",
        ),
        (KEYS, lambda a: a.obs.__setitem__("label", ["x", "y"] * 15), "has several values of obs['label']"),
        (KEYS, lambda a: a.obs.__setitem__("label", [None, *a.obs.label[1:]]), "missing for 1 cells"),
        (KEYS, lambda a: a.obs.__setitem__("label", ["same"] * 30), "at least two classes"),
        (KEYS, lambda a: a.X.data.__setitem__(0, np.nan), "NaN"),
        ([*KEYS, "--use-rep", "X_pca"], lambda a: None, "use_rep='X_pca' is not there"),
        ([*KEYS, "--rank", "0"], lambda a: None, "rank must be an integer of at least 1"),
    ],
)
def test_bad_input_is_one_clear_error(args, change, message, tmp_path):
    done = run("fit", broken(tmp_path, change), *args, "-o", tmp_path / "out", "-q", status=2)
    assert message in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"bad.h5ad"}


def test_missing_file(tmp_path):
    assert "does not exist" in run("fit", "nowhere.h5ad", *KEYS, "-o", tmp_path / "out", status=2).stderr
    (tmp_path / "text.h5ad").write_text("no HDF5")
    run("fit", tmp_path / "text.h5ad", *KEYS, "-o", tmp_path / "out", status=2)
    assert not (tmp_path / "out").exists()
