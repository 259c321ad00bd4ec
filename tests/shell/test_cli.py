"""ggml-nb on real files and on bad ones: what it writes, what it refuses, and that it leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import squareform
from scipy.stats import spearmanr

from ggml_nb import (
    GGML,
    Distributions,
    fit_anndata,
    from_anndata,
    make_distributions,
    make_scrna,
    pairwise_wasserstein,
    place_patients,
)
from ggml_nb.estimator.checkpoint import write_npz
from ggml_nb.method.mahalanobis import project
from ggml_nb.shell import outcome
from ggml_nb.shell.cli import LEARNING, RESULT, TABLES, main
from ggml_nb.shell.download import DATASETS
from ggml_nb.shell.outcome import checkpoint_in, euclidean_cells, held_out_cells, held_out_mean, two_sided
from ggml_nb.shell.outputs import unfinished
from ggml_nb.shell.report import methods_text

COMMAND = [str(Path(sys.executable).with_name("ggml-nb"))]
QUICK = ["--max-epochs", 1, "--no-judge", "--figures", "svg", "-q"]
KEYS = ["--sample-key", "sample", "--label-key", "label"]
FILES = {"metric.npz", "report.html", "report.json", *TABLES} | {
    f"{name}.{kind}"
    for name in ("clustermap", "clustermap_euclidean", "patients", "patients_euclidean", "cells", "cells_euclidean",
                 "genes", "genes_euclidean")
    for kind in ("svg", "png")
}  # fmt: skip


def run(*args, status=0):
    "A process of its own."
    done = subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def call(capsys):
    "The same in this process, which spares the imports."

    def call(*args, status=0):
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        out = capsys.readouterr()
        assert code == status, out.out + out.err
        return out

    return call


@pytest.fixture(scope="module")
def real_fit(data_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit") / "new" / "out"
    data = data_dir / "brain_glia_celltype.h5ad"
    done = run("fit", data, *KEYS, "--group-key", "donor", "--n-cells", 60, "--splits", 2, "-o", folder)
    assert "Held-out accuracy" in done.stdout and "active" in done.stderr and ": about " in done.stderr
    return folder


def test_the_methods_text_cites_what_ran(real_fit):
    report = json.loads((real_fit / "report.json").read_text())
    text = methods_text(report)
    assert f"Numba {report['versions']['numba']}" in text and "POT" not in text and "PyTorch" not in text
    assert "POT" in methods_text({**report, "arguments": {**report["arguments"], "batch_key": "site"}})
    assert "POT" in methods_text({**report, "accuracy": {**report["accuracy"], "pilot": {}}})


def test_fit_writes_everything(real_fit):
    assert {p.name for p in real_fit.iterdir()} - {"learning_curve.svg", "learning_curve.png"} == FILES <= set(RESULT)
    assert [p.name for p in real_fit.parent.parent.iterdir()] == ["new"]
    report = json.loads((real_fit / "report.json").read_text())
    ours = report["accuracy"]["ggml"]
    assert ours["mean"] >= 0.95 and 0 <= ours["low"] <= ours["mean"] <= ours["high"] <= 1
    assert 0 <= report["accuracy"]["euclidean"]["mean"] <= 1 and report["p_value"] is None
    assert report["gap"] <= 1e-4 and report["euclidean_cells"] == 60 and len(report["patients"]) == 54
    for file in ("distances.csv", "distances_held_out.csv", "distances_euclidean.csv"):
        D = pd.read_csv(real_fit / file, index_col="sample")
        assert D.shape == (54, 54) and np.allclose(D, D.T) and list(D.index) == list(D.columns)
    genes = pd.read_csv(real_fit / "genes.csv")
    assert abs(genes.pattern).is_monotonic_decreasing and genes.weight.sum() == pytest.approx(1)
    table = pd.read_csv(real_fit / "patients.csv")
    assert list(table["sample"]) == [row["sample"] for row in report["patients"]]
    assert (table.right == (table.label == table.held_out_answer)).all() and table.agreement.between(0.3, 1).all()


def test_the_metric_holds_no_pickle(real_fit):
    with np.load(real_fit / "metric.npz", allow_pickle=False) as file:
        assert {file[name].dtype.kind for name in file.files} <= set("UfibV")


def test_the_page_needs_nothing_but_itself(real_fit):
    page = (real_fit / "report.html").read_text(encoding="utf-8")
    assert len(page) < 5e6 and "<script" not in page
    sources = re.findall(r'(?:src|href)="([^"]{1,40})', page)
    assert len(sources) >= 8 and all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    warnings_ = json.loads((real_fit / "report.json").read_text())["warnings"]
    assert any("min_cells" in text for text in warnings_)
    for text in ("Held-out accuracy", "arXiv:2506.15383", "ggml-nb fit", "held out answer", *warnings_[:1]):
        assert text in page


def test_a_donor_is_on_one_side_and_every_sample_is_held_out():
    data = make_distributions(2, 6, n_points=2, seed=0)
    data = Distributions(data.points, data.sample, data.labels, groups=np.arange(18) // 2)
    splits = two_sided(data, 5, seed=0)
    assert len(splits) == 5 and not set(splits[0][0]) & set(splits[0][1])
    for train, test in splits:
        assert not set(data.donors[train]) & set(data.donors[test]) and len(train) + len(test) == 18
    for first, second in zip(splits[:4:2], splits[1:4:2]):
        assert np.array_equal(first[0], second[1]) and np.array_equal(first[1], second[0])


@pytest.mark.parametrize("sizes", [(3, 9), (3, 5, 7), (3, 20), (4, 4)])
def test_every_sample_is_held_out_where_a_class_is_small(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    data = Distributions(np.zeros((len(labels), 1)), np.arange(len(labels)), labels)
    for seed in range(10):
        tests = [test for _, test in two_sided(data, 5, seed)]
        assert len(tests) == 5 and set(np.concatenate(tests)) == set(range(len(labels)))


def test_a_sample_that_no_split_held_out_has_no_answer(tmp_path, call):
    "Two splits cannot hold out all three of a class, since two are to be learned from."
    adata = make_scrna(12, 20, 20, n_types=2, n_differential=5, seed=0)
    adata = adata[~adata.obs["sample"].isin(adata.obs["sample"][adata.obs.label == "diseased"].unique()[3:])].copy()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    said = call(
        "fit", tmp_path / "cells.h5ad", *KEYS[:4], "--splits", "2", "--figures", "svg", "-o", tmp_path / "out"
    ).out
    table = pd.read_csv(tmp_path / "out" / "patients.csv")
    left = table.held_out_answer.isna()
    assert left.any() and table.right.isna().equals(left) and f"{left.sum()} never held out" in said
    D = pd.read_csv(tmp_path / "out" / "distances_held_out.csv", index_col=0).to_numpy()
    seen = left.to_numpy()[:, None] & left.to_numpy() & ~np.eye(len(D), dtype=bool)
    assert np.array_equal(np.isnan(D), seen)


def test_held_out_distances_hold_no_pair_that_was_seen():
    "A pair of which both were seen has the distance 99 here: it must not show."
    tests = [np.arange(3), np.arange(3, 6)]
    tables = []
    for test in tests:
        seen = ~np.isin(np.arange(6), test)
        tables.append(np.where(seen[:, None] & seen, 99.0, 1 + len(tables)) * (1 - np.eye(6)))
    D = held_out_mean(tables, tests)
    assert np.allclose(D, 1.5 * (1 - np.eye(6)))


def test_place_with_the_metric_alone_equals_place_patients(tmp_path, call):
    "Eight new donors, their cells in another order of genes."
    adata = make_scrna(24, 30, 150, n_differential=20, seed=2)
    new = adata.obs["sample"].isin(np.unique(adata.obs["sample"])[:8]).to_numpy()
    known, arrived = adata[~new].copy(), adata[new].copy()[:, ::-1].copy()
    known.write_h5ad(tmp_path / "known.h5ad")
    arrived.write_h5ad(tmp_path / "new.h5ad")
    call("fit", tmp_path / "known.h5ad", *KEYS, *QUICK, "-o", tmp_path / "fit")
    (tmp_path / "known.h5ad").unlink()
    how = ["--metric", tmp_path / "fit" / "metric.npz", "--figures", "png", "-q"]
    out = call("place", tmp_path / "new.h5ad", *KEYS[:2], *how, "-o", tmp_path / "new").out
    assert out.startswith("8 new samples: ")
    fit_anndata(known, "sample", "label", max_epochs=1)
    placed = place_patients(known, arrived)
    table = pd.read_csv(tmp_path / "new" / "placement.csv", index_col="sample")
    assert list(table.index) == list(placed.table.index) and list(table.predicted) == list(placed.table.predicted)
    for column in ("vote", "distance", "ratio", "ratio_all"):
        assert np.allclose(table[column], placed.table[column], rtol=1e-9, atol=1e-12)
    assert np.array_equal(table.far, table[["ratio", "ratio_all"]].max(axis=1) > 1)
    D = pd.read_csv(tmp_path / "new" / "distances.csv", index_col="sample")
    assert np.allclose(D, placed.distances, rtol=1e-9, atol=1e-12)
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "8 new samples" in page and {p.name for p in (tmp_path / "new").iterdir()} == {
        "report.html", "report.json", "placement.csv", "distances.csv", "patients.png",
    }  # fmt: skip


def test_samples_that_were_fitted_are_no_test_and_the_page_says_so(tmp_path, call):
    make_scrna(8, 20, 60, n_differential=10, seed=0).write_h5ad(tmp_path / "a.h5ad")
    call("fit", tmp_path / "a.h5ad", *KEYS, *QUICK, "-o", tmp_path / "fit")
    how = ["--metric", tmp_path / "fit" / "metric.npz", "--figures", "svg", "-q"]
    said = "warning: 8 new samples are called as samples of the fit are"
    assert said in call("place", tmp_path / "a.h5ad", *KEYS[:2], *how, "-o", tmp_path / "again").err
    assert "8 new samples are called" in json.loads((tmp_path / "again" / "report.json").read_text())["warnings"][-1]


@pytest.mark.parametrize("given", [["--permutations", 3], ["--splits", 7]])
def test_judgement_that_is_asked_for_and_switched_off_is_refused(tmp_path, call, given):
    assert "nothing is judged" in call("fit", "a.h5ad", *KEYS, *QUICK, *given, "-o", tmp_path / "out", status=2).err
    assert not list(tmp_path.iterdir())


def test_distances_of_a_fit_need_no_label_and_match_features_by_name(real_fit, data_dir, tmp_path, call):
    adata = anndata.read_h5ad(data_dir / "brain_glia_celltype.h5ad")
    del adata.obs["label"]
    adata[:, ::-1].copy().write_h5ad(tmp_path / "new.h5ad")
    metric = real_fit / "metric.npz"
    how = ["--sample-key", "sample", "--metric", metric, "-q"]
    call("distances", tmp_path / "new.h5ad", *how, "-o", tmp_path / "d.csv")  # 60 cells of each, as in the fit
    again, before = (pd.read_csv(p, index_col="sample") for p in (tmp_path / "d.csv", real_fit / "distances.csv"))
    assert list(again.index) == list(before.index) and np.allclose(again, before, rtol=1e-6)
    model = GGML.load(metric)
    first = pd.read_csv(real_fit / "genes.csv").gene[0]
    adata[:, adata.var_names != first].copy().write_h5ad(tmp_path / "fewer.h5ad")
    error = call("distances", tmp_path / "fewer.h5ad", *how, "-o", tmp_path / "fewer.csv").err
    assert f"the file lacks 1 of {model.n_features_in_} features of the metric" in error and f"({first})" in error
    kept = model.feature_names_in_ != first
    asked = {"gene_filter": model.feature_names_in_[kept], "n_cells": 60}
    new = from_anndata(tmp_path / "fewer.h5ad", "sample", "sample", **asked)
    want = pairwise_wasserstein(new, model.components_[:, kept])
    assert np.allclose(pd.read_csv(tmp_path / "fewer.csv", index_col="sample"), want, rtol=1e-6)


def test_a_metric_is_asked_about_the_cells_it_was_fitted_on(tmp_path, call):
    adata = make_scrna(8, 40, 30, n_differential=4)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    taken = f"cell_type={adata.obs.cell_type.iloc[0]}"
    call("fit", tmp_path / "cells.h5ad", *KEYS, *QUICK, "--where", taken, "-o", tmp_path / "fit")
    how = ["--sample-key", "sample", "--metric", tmp_path / "fit" / "metric.npz", "-q"]
    said = call("distances", tmp_path / "cells.h5ad", *how, "-o", tmp_path / "d.csv").err
    assert f"only cells with {taken.replace('=', ' = ')}, as in the fit" in said
    again, before = (pd.read_csv(p, index_col="sample") for p in (tmp_path / "d.csv", tmp_path / "fit/distances.csv"))
    assert np.allclose(again, before, rtol=1e-6)
    said = call("distances", tmp_path / "cells.h5ad", *how, "--where", "", "-o", tmp_path / "all.csv").err
    assert "as in the fit" not in said and not np.allclose(pd.read_csv(tmp_path / "all.csv").iloc[:, 1:], before)


def test_genes_of_a_fit(real_fit, tmp_path, call):
    metric, head = real_fit / "metric.npz", pd.read_csv(real_fit / "genes.csv").gene
    call("genes", "--metric", metric, "-o", tmp_path / "genes.csv")
    again, fitted = pd.read_csv(tmp_path / "genes.csv"), pd.read_csv(real_fit / "genes.csv")
    assert set(fitted) - set(again) <= {"stability"}  # that needs the data
    pd.testing.assert_frame_equal(again, fitted[list(again)], rtol=1e-6)
    sets = {"head": head[:20], "tail": head[-20:]}
    lines = ["\t".join([name, "-", *genes]) for name, genes in sets.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines) + "\n")
    call("genes", "--metric", metric, "--gene-sets", tmp_path / "sets.gmt", "-o", tmp_path / "sets.csv")
    table = pd.read_csv(tmp_path / "sets.csv").set_index("gene_set")
    assert table.p_value["head"] < 1e-6 < table.p_value["tail"] and table.overlap["head"] == 20


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    "A small simulated file with a representation."
    adata = make_scrna(12, 20, 120, n_differential=20, seed=1)
    adata.obsm["X_few"] = adata.X[:, :7].toarray()
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    adata.write_h5ad(path)
    return path


def test_distances_read_the_layer_of_the_fit(cells, tmp_path, call):
    adata = anndata.read_h5ad(cells)
    adata.layers["log"], adata.X = adata.X.copy(), adata.X * np.float32(0.3)
    adata.write_h5ad(tmp_path / "both.h5ad")
    out = tmp_path / "out"
    call("fit", tmp_path / "both.h5ad", *KEYS, "--layer", "log", *QUICK, "-o", out)
    call("distances", tmp_path / "both.h5ad", *KEYS[:2], "--metric", out / "metric.npz", "-o", tmp_path / "d.csv", "-q")
    by_fit, again = (pd.read_csv(x, index_col=0) for x in (out / "distances.csv", tmp_path / "d.csv"))
    assert np.allclose(by_fit.loc[again.index, again.columns], again, rtol=1e-5)


def test_evaluate(cells, tmp_path, call):
    call("evaluate", cells, *KEYS, "--splits", 2, "--max-epochs", 2, "-o", tmp_path / "out", "-q")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"mean", "std"} == set(report["ggml"]["accuracy"]) and report["splits"] == 2
    splits, table = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("splits", "table"))
    assert len(splits) == 4 and list(table.method) == ["ggml", "euclidean"]
    mean = splits.groupby("method").accuracy.mean()
    assert np.allclose(table.accuracy, mean[table.method]) and report["versions"]["numpy"] == np.__version__


@pytest.fixture
def cellxgene(tmp_path, monkeypatch):
    "A server that plays CELLxGENE with one file, under the columns of `kidney`; a person gave two samples."
    entry, folder = DATASETS["kidney"], tmp_path / "site"
    home = folder / "collections" / entry["collection"]
    (home / "datasets").mkdir(parents=True)
    adata = make_scrna(12, 20, 120, n_differential=20, seed=1)
    adata.obs["donor_id"], adata.obs["disease"] = adata.obs["sample"], adata.obs["label"]
    adata.obs["person"] = [f"donor {int(name[-2:]) // 2}" for name in adata.obs["sample"]]
    adata.write_h5ad(folder / "v1.h5ad")

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            site.asked.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    site = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    site.folder, site.asked, site.url = folder, [], f"http://127.0.0.1:{site.server_port}"
    size = (folder / "v1.h5ad").stat().st_size
    asset = {"filetype": "H5AD", "url": f"{site.url}/v1.h5ad", "filesize": size}
    record = json.dumps({"dataset_id": entry["dataset"], "title": "Kidney", "assets": [asset]})
    (home / "index.html").write_text(f'{{"datasets": [{record}]}}')
    (home / "datasets" / entry["dataset"]).write_text(record)
    monkeypatch.setenv("GGML_NB_CELLXGENE", site.url)
    monkeypatch.setenv("GGML_NB_CACHE", str(tmp_path / "cache"))
    threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield site
    site.shutdown()
    site.server_close()


def test_download_prints_the_path_and_asks_once(cellxgene, tmp_path, call):
    for options, folder in (([], "cache"), (["-o", tmp_path / "here"], "here")):
        out = call("download", "kidney", *options)
        path = tmp_path / folder / "kidney.h5ad"
        assert out.out == f"{path}\n" and path.read_bytes() == (cellxgene.folder / "v1.h5ad").read_bytes()
        assert "kidney.h5ad" in out.err  # the progress bar
    n = len(cellxgene.asked)
    assert call("download", "kidney", "-q").err == "" and len(cellxgene.asked) == n
    error = call("download", "kidney", "--sha256", "0" * 64, status=2).err
    assert "is there, but its SHA-256" in error and len(error.splitlines()) == 1


def test_paper_on_a_named_set_is_evaluate_with_ten_splits(cellxgene, tmp_path, call):
    few = ["--max-epochs", 1, "-q"]
    out = call("paper", "kidney", *few, "-o", tmp_path / "paper").out
    assert "10 splits, half of 12 samples" in out and "ARI" in out
    how = [*KEYS, "--gene-filter", "variance", "--splits", 10, *few]
    call("evaluate", tmp_path / "cache" / "kidney.h5ad", *how, "-o", tmp_path / "same")
    ours, same = (pd.read_csv(tmp_path / name / "splits.csv").drop(columns="seconds") for name in ("paper", "same"))
    assert len(ours) == 20 and ours.equals(same)
    report = json.loads((tmp_path / "paper" / "report.json").read_text())
    assert report["arguments"]["label_key"] == "disease" and report["arguments"]["n_cells"] == 1000
    table = pd.read_csv(tmp_path / "paper" / "table.csv").set_index("method")
    assert {"accuracy", "accuracy_std", "mi", "ari", "vi"} <= set(table.columns)
    assert table.accuracy["ggml"] == pytest.approx(report["ggml"]["accuracy"]["mean"])
    asked = len(cellxgene.asked)
    keys = ["--sample-key", "sample", "--group-key", "person"]
    call("paper", "kidney", *keys, "--splits", 2, *few, "-o", tmp_path / "donors")
    assert len(cellxgene.asked) == asked  # it was there
    groups = json.loads((tmp_path / "donors" / "report.json").read_text())["arguments"]["group_key"]
    assert groups == "person"


def test_paper_on_a_file(cells, tmp_path, call):
    call("paper", cells, *KEYS, "--splits", 2, "--max-epochs", 1, "-o", tmp_path / "out", "-q")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"splits.csv", "table.csv", "answers.csv", "report.json"}


def test_evaluate_says_what_was_answered_for_each_sample(tmp_path, call):
    make_scrna(12, 20, 60, n_types=2, n_differential=10, severity=3, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    args = [tmp_path / "cells.h5ad", "--sample-key", "sample", "--splits", 2, "--max-epochs", 1, "-q"]
    out = call("evaluate", *args, "--label-key", "label", "-o", tmp_path / "classes").out
    said = pd.read_csv(tmp_path / "classes" / "answers.csv")
    missed = json.loads((tmp_path / "classes" / "report.json").read_text())["never_held_out"]
    assert len(missed) == 12 - said["sample"].nunique() and not {*missed} & {*said["sample"]}
    assert ("Never held out" in out) == bool(missed)
    splits = pd.read_csv(tmp_path / "classes" / "splits.csv").set_index(["method", "split"])
    assert list(said) == "method sample donor truth answer agreement right splits split_0 split_1".split()
    for (method, split), row in splits.iterrows():
        mine = said[(said.method == method) & said[f"split_{split}"].notna()]
        assert len(mine) == 6 and np.isclose((mine[f"split_{split}"] == mine.truth).mean(), row.accuracy)
    out = call("evaluate", *args, "--label-key", "severity", "--target", "ordered", "-o", tmp_path / "ordered").out
    said = pd.read_csv(tmp_path / "ordered" / "answers.csv")
    assert "held-out Spearman correlation" in out and said.answer.between(0, 3).all() and "right" not in said
    assert np.allclose(said.answer, said[["split_0", "split_1"]].mean(axis=1))
    error = call("fit", *args[:3], "--label-key", "label", "--target", "ordered", "-o", tmp_path / "x", status=2).err
    assert "labels must be finite numbers with target='ordered', got 'diseased'" in error


def test_an_interrupted_download_says_how_to_go_on(call, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ggml_nb.shell.download.download_cellxgene", stop)
    for args in (["download", "kidney"], ["paper", "kidney", "-o", "out"]):
        error = call(*args, status=130).err
        assert error == "ggml-nb: error: interrupted, what came so far is kept: the same command goes on\n"


def test_the_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "ggml_nb", "-V"], capture_output=True, text=True)
    assert done.stdout == run("-V").stdout and done.returncode == 0
    assert subprocess.run([sys.executable, "-m", "ggml_nb", "fly"], capture_output=True).returncode == 2


def test_use_rep_and_the_same_seed_twice(cells, tmp_path, call):
    for out in ("a", "b"):
        how = ["--use-rep", "X_few", "--rank", 2, "--seed", 3, "--max-epochs", 2, "--splits", 2, "-q"]
        call("fit", cells, *KEYS, *how, "-o", tmp_path / out)
    assert set(pd.read_csv(tmp_path / "a" / "genes.csv").gene) == {f"X_few_{i}" for i in range(7)}
    for file in ("distances.csv", "patients.csv", "genes.csv", "clustermap.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    a, b = (json.loads((tmp_path / out / "report.json").read_text()) for out in "ab")
    assert a["accuracy"] == b["accuracy"] and a["arguments"]["use_rep"] == "X_few"


def test_euclidean_cells_are_those_asked_for_or_affordable(cells, tmp_path, call):
    call("fit", cells, *KEYS, "--euclidean-cells", 5, *QUICK, "-o", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["euclidean_cells"] == 5
    for n, expected in {2: 300, 40: 100}.items():
        clouds = Distributions(np.zeros((n * 300, 2000)), np.repeat(np.arange(n), 300), np.arange(n) % 2)
        assert euclidean_cells(clouds, budget=1) == expected
    for n, budget, expected in (2, 1, 300), (40, 1, 194), (40, 0.1, 100), (40, 60, 300):
        clouds = Distributions(np.zeros((n * 300, 2)), np.repeat(np.arange(n), 300), np.arange(n) % 2)
        assert held_out_cells(clouds, budget) == expected


def test_the_estimate_counts_pairs_and_nothing_that_happens_once(monkeypatch):
    clock, loaded, data = [0.0], set(), make_distributions(4, n_per_class=4, n_points=20, seed=0)

    def costs_under(data, W, tol, n_jobs=None):
        def costs(pairs):  # a second a pair, and an hour to load what it needs
            clock[0] += len(pairs) + (0 if (W is None) in loaded else 3600)
            loaded.add(W is None)

        return costs

    monkeypatch.setattr(outcome, "costs_under", costs_under)
    monkeypatch.setattr(outcome.time, "perf_counter", lambda: clock[0])
    pairs = len(data) * (len(data) - 1) / 2
    in_fits = 5 * min(pairs, 12 * len(data)) + min(4 * pairs, 24 * len(data)) + pairs
    assert outcome.estimate(data, GGML()) == pytest.approx(in_fits + 5 * 3 / 4 * pairs + pairs)


def test_cells_are_embedded_once_and_only_for_what_is_not_known(tmp_path, monkeypatch):
    data, W, calls = make_distributions(4, n_per_class=3, n_points=20, seed=0), np.eye(4), []
    monkeypatch.setattr(outcome, "project", lambda *args: calls.append(0) or project(*args))
    D = outcome.kept_distances(data, W, tmp_path, step=3)
    assert calls == [0] and np.allclose(D, pairwise_wasserstein(data, W), rtol=1e-8)
    assert (outcome.kept_distances(data, W, tmp_path) == D).all() and calls == [0]
    (path,) = tmp_path.iterdir()
    with np.load(path) as file:
        cost = file["cost"]
    cost[5:] = np.nan  # as an interrupted run leaves it
    np.savez(path, cost=cost)
    assert np.allclose(outcome.kept_distances(data, W, tmp_path, step=3), D) and calls == [0, 0]


def test_held_out_distances_come_from_few_cells_where_samples_are_many(monkeypatch):
    data, train = make_distributions(6, n_per_class=4, n_points=40, seed=0), np.r_[0:2, 4:6, 8:10]
    split = train, np.setdiff1d(np.arange(12), train)
    model = GGML(random_state=0)
    whole, _ = outcome.half_distances(data, model, *split)
    monkeypatch.setattr(outcome, "held_out_cells", lambda data: 10)
    few, _ = outcome.half_distances(data, model, *split)
    learned = GGML(random_state=0).fit(data.subset(train)).components_
    for D, clouds in (whole, data), (few, data.subsample(10, 0)):
        held = ~np.eye(12, dtype=bool)
        held[np.ix_(train, train)] = False
        assert np.allclose(D[held], pairwise_wasserstein(clouds, learned)[held], rtol=2e-4)


def test_help_is_a_page_to_work_from(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    page = run("-h").stdout
    commands = ("fit", "evaluate", "distances", "genes", "demo", "download", "paper")
    for word in (*commands, "--sample-key"):
        assert word in page
    for command in commands:
        page += call(command, "-h").out
    assert max(map(len, page.splitlines())) <= 100
    assert "default: None" not in page and "[default: 0.0]" in page and "report.json" in page


def test_help_and_version_load_nothing_heavy():
    heavy = "torch numba anndata umap matplotlib sklearn scipy pandas numpy h5py".split()
    for flag in ("-h", "-V"):
        code = f"import sys; from ggml_nb.__main__ import main; status = main(['{flag}'])"
        code += f"; print(status, [m for m in {heavy} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.endswith("\n0 []\n") and not done.stderr


def test_what_the_help_says_twice_agrees(call):
    names = [flag.removeprefix("--").replace("-", "_") for flag, *_ in LEARNING]
    assert {name: how["default"] for name, (*_, how) in zip(names, LEARNING)} == {
        name: GGML().get_params()[name] for name in names
    }
    assert all(", ".join(DATASETS) in " ".join(call(name, "-h").out.split()) for name in ("download", "paper"))


def broken(folder, change):
    "A file with one thing wrong."
    adata = make_scrna(6, 5, 30, n_differential=5, seed=0)
    adata.obs = adata.obs.astype(str)
    change(adata)
    adata.write_h5ad(folder / "bad.h5ad")
    return folder / "bad.h5ad"


@pytest.mark.parametrize(
    "args, change, message",
    [
        (["--sample-key", "patient", *KEYS[2:]], lambda a: None, "sample_key='patient' is not a column of obs"),
        (KEYS, lambda a: a.obs.__setitem__("label", ["x", "y"] * 15), "has several values of obs['label']"),
        (KEYS, lambda a: setattr(a, "obs", a.obs.assign(label=[None, *a.obs.label[1:]])), "missing for 1 cells"),
        (KEYS, lambda a: a.obs.__setitem__("label", ["same"] * 30), "at least two classes, got ['same']"),
        (
            KEYS,
            lambda a: a.obs.__setitem__("label", a.obs["sample"].str[-2:].astype(float) / 4),
            "must be classes, got the number",
        ),
        (KEYS, lambda a: a.X.data.__setitem__(0, np.nan), "NaN"),
        ([*KEYS, "--use-rep", "X_pca"], lambda a: None, "use_rep='X_pca' is not there"),
        ([*KEYS, "--layer", "logged"], lambda a: None, "layer='logged' is not there"),
        ([*KEYS, "--layer", "logged", "--use-rep", "X_pca"], lambda a: None, "not allowed with argument"),
        ([*KEYS, "--rank", "0"], lambda a: None, "'--rank': 0 is not in the range x>=1"),
        ([*KEYS, "--lr", "0"], lambda a: None, "lr must be a finite number above 0"),
        (["--sample-key", "sample"], lambda a: None, "Missing option '--label-key'"),
    ],
)
def test_bad_input_is_one_clear_line(args, change, message, tmp_path, call):
    error = call("fit", broken(tmp_path, change), *args, "-o", tmp_path / "out", "-q", status=2).err
    lines = [line for line in error.splitlines() if "ggml-nb: warning: " not in line]  # so few genes are a warning
    assert len(lines) == 1 and message in lines[0]
    assert {p.name for p in tmp_path.iterdir()} == {"bad.h5ad"}


@pytest.mark.parametrize(
    "args, message",
    [
        (["fit", "nowhere.h5ad", *KEYS, "-o", "out"], "nowhere.h5ad does not exist"),
        (["fit", "text", *KEYS, "-o", "out"], "text is not an AnnData file"),
        (["fit", "text", *KEYS, "-o", "text"], "-o text is a file; give a folder"),
        (["fit", "text", *KEYS, "-o", "text/out"], "is a file, not a folder"),
        (["fit", "text", *KEYS, "-o", ""], "-o is empty: name a folder"),
        (["genes", "--metric", "text", "-o", "new.csv/"], "-o new.csv/ is a folder; give a file"),
        (["genes", "--metric", "folder", "-o", "out"], "--metric folder is not the metric.npz"),
        (["evaluate", "text", *KEYS, "-o", "text"], "-o text is a file; give a folder"),
        (["distances", "text", *KEYS[:2], "-o", "folder"], "-o folder is a folder; give a file"),
        (["distances", "text", *KEYS[:2], "--metric", "text", "-o", "out"], "--metric text is not the metric.npz"),
        (["genes", "--metric", "empty", "-o", "out"], "--metric empty is not the metric.npz"),
        (["genes", "--metric", "nowhere.npz", "-o", "out"], "--metric nowhere.npz does not exist"),
        (["download", "kidneys"], "name must be one of kidney, breast, myocardial"),
        (["download", "kidney", "-o", "text"], "-o text is a file; give a folder"),
        (["paper", "breast", "-o", "out"], "--label-key is needed"),
        (["paper", "text", "-o", "out"], "--sample-key is needed"),
        (["paper", "nowhere.h5ad", "-o", "out"], "nowhere.h5ad is neither a file nor one of kidney, breast"),
        (["paper", "kidney", "--rank", "0", "-o", "out"], "'--rank': 0 is not in the range x>=1"),
        (["paper", "kidney", "--lr", "0", "-o", "out"], "lr must be a finite number above 0"),
        (["paper", "kidney", "--max-gb", "nan", "-o", "out"], "'--max-gb': must be a finite number, got nan"),
        (["paper", "kidney", "--max-gb", "inf", "-o", "out"], "'--max-gb': must be a finite number, got inf"),
        (["paper", "kidney", "--max-gb", "-1", "-o", "out"], "'--max-gb': -1.0 is not in the range x>0"),
        (["paper", "kidney", "-o", "out"], "cannot reach http://127.0.0.1:9/"),
        (["fly"], "No such command 'fly'"),
    ],
)
def test_wrong_files_are_one_clear_line(args, message, tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GGML_NB_CELLXGENE", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setenv("GGML_NB_CACHE", str(tmp_path / "cache"))
    Path("text").write_text("no HDF5\n")
    Path("empty").touch()
    Path("folder").mkdir()
    error = call(*args, status=2).err
    assert message in error and len(error.strip().splitlines()) == 1
    assert sorted(os.listdir()) == ["empty", "folder", "text"] and os.listdir("folder") == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder where even root cannot write")
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(cells, call):
    error = call("fit", cells, *KEYS, "-o", "/proc/new/out", status=2).err
    assert "cannot write in /proc" in error and len(error.strip().splitlines()) == 1


def test_a_warning_is_one_line_without_our_source(cells, tmp_path, call):
    adata = anndata.read_h5ad(cells)[:, :60].copy()
    adata.write_h5ad(tmp_path / "few.h5ad")
    error = call("fit", tmp_path / "few.h5ad", *KEYS, "--gene-filter", "variance", *QUICK, "-o", tmp_path / "out").err
    lines = error.strip().splitlines()
    assert lines and all(line.startswith("ggml-nb: warning: ") and ".py" not in line for line in lines)
    assert "of 60 features: None (--gene-filter none)" in lines[0]


def interrupted(args, folder, ready):
    "Run a command in a process of its own and send it SIGINT as soon as `ready()`: exit status, stderr."
    # a shell's background jobs inherit that SIGINT is ignored: begin with the default
    default = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    job = subprocess.Popen(args, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **default)
    deadline = time.monotonic() + 120
    while not ready() and time.monotonic() < deadline and job.poll() is None:
        time.sleep(0.01)
    job.send_signal(signal.SIGINT)
    _, error = job.communicate(timeout=60)
    return job.returncode, error


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupted_early_leaves_nothing(tmp_path):
    make_scrna(24, 100, 200, n_differential=20, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    args = [*COMMAND, "fit", "cells.h5ad", *KEYS, "-o", "new/out"]
    status, error = interrupted(args, tmp_path, lambda: list(tmp_path.rglob(".out.*")))
    assert status == 130 and "interrupted, nothing was written" in error and "Traceback" not in error
    assert [p.name for p in tmp_path.iterdir()] == ["cells.h5ad"]


def fitted(keep):
    "Seconds of the epochs that a run has on disk."
    for file in keep.glob("fit-*.npz"):
        with np.load(file) as known:
            return [row["seconds"] for row in json.loads(str(known["progress"]))["history"]]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupted_fit_goes_on(tmp_path):
    make_scrna(24, 100, 200, n_differential=20, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    args = [*COMMAND, "fit", "cells.h5ad", *KEYS, "--no-judge", "--figures", "svg", "-o", "out"]
    keep = tmp_path / "out.unfinished"
    status, error = interrupted(args, tmp_path, lambda: list(keep.glob("distances-*.npz")) and fitted(keep))
    assert status == 130 and "what is done is kept in" in error and "Traceback" not in error
    kept = {path.name.split("-")[0] for path in keep.iterdir()}
    assert kept == {"fit", "distances"} and not (tmp_path / "out").exists()
    [known] = keep.glob("distances-*.npz")  # the Euclidean ones come first
    with np.load(known) as file:
        cost = file["cost"]
    assert np.isfinite(cost).all()
    seconds = fitted(keep)
    marked = tmp_path / "marked.unfinished"
    shutil.copytree(keep, marked)
    mark = np.flatnonzero(np.isfinite(cost))[0]
    cost[mark] = 1e6  # not a distance of these data: where it shows up, it was taken from the state
    write_npz(marked / known.name, cost=cost)
    for out in ("out", "marked", "whole"):
        subprocess.run([*args[:-1], out], cwd=tmp_path, check=True, capture_output=True)
    assert not keep.exists() and not marked.exists()
    again = list(GGML.load(tmp_path / "out" / "metric.npz").history_["seconds"])
    assert again[: len(seconds)] == seconds  # these epochs were not done again
    D = pd.read_csv(tmp_path / "marked" / "distances_euclidean.csv", index_col="sample").to_numpy()
    assert np.array_equal(squareform(D)[[mark]], [1e6]) and (D == 1e6).sum() == 2
    for name in ("distances.csv", "distances_euclidean.csv", "genes.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_fewer_epochs_are_another_fit_and_folders_keep_apart(tmp_path):
    data = make_distributions(2, n_per_class=4, n_points=10)
    for folder, epochs in (("a", 3), ("a", 2), ("b", 3)):
        model = GGML(init="random", max_epochs=epochs, random_state=0)
        (tmp_path / folder).mkdir(exist_ok=True)
        with checkpoint_in(tmp_path / folder, model, data), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(data)
        assert model.n_iter_ == epochs and model.checkpoint is None
    assert [len(list((tmp_path / folder).iterdir())) for folder in "ab"] == [2, 1]
    for parent in ("pA", "pB"):
        with pytest.raises(RuntimeError), unfinished(tmp_path / parent / "out") as keep:
            write_npz(keep / "distances-0.npz", cost=np.zeros(1))
            raise RuntimeError
    assert [(tmp_path / p / "out.unfinished" / "distances-0.npz").exists() for p in ("pA", "pB")] == [True, True]


def test_finished_splits_are_kept_too(tmp_path):
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"), unfinished(tmp_path / "out") as keep:
        (keep / "ggml-sample-0.json").touch()
        raise KeyboardInterrupt
    assert (tmp_path / "out.unfinished" / "ggml-sample-0.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_evaluate_goes_on_where_it_was_interrupted(tmp_path):
    make_scrna(24, 60, 200, n_differential=20, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    args, keep = [*COMMAND, "evaluate", "cells.h5ad", *KEYS, "--splits", "8", "-o", "out"], tmp_path / "out.unfinished"
    status, error = interrupted(args, tmp_path, lambda: any(keep.glob("ggml-*.json")))
    assert status == 130 and "the same command goes on" in error
    done = sorted(keep.glob("ggml-*.json"))
    assert 0 < len(done) < 8
    kept = json.loads(done[0].read_text())
    kept["row"]["accuracy"] = 0.123  # no share of 12 samples: where it shows up, it was taken from the state
    done[0].write_text(json.dumps(kept))
    last = subprocess.run(args, cwd=tmp_path, capture_output=True, text=True)
    assert last.returncode == 0 and not keep.exists()
    assert (pd.read_csv(tmp_path / "out" / "splits.csv").accuracy == 0.123).sum() == 1


def test_distances_of_x_under_a_metric_of_a_layer_and_where_tables_go(tmp_path, call):
    cells = make_scrna(12, 25, 110, n_differential=20, seed=0)
    with_layer = cells.copy()
    with_layer.layers["log"], with_layer.X = cells.X, cells.X * 0
    with_layer.write_h5ad(tmp_path / "layer.h5ad")
    cells.write_h5ad(tmp_path / "x.h5ad")
    call("fit", tmp_path / "layer.h5ad", *KEYS, "--layer", "log", *QUICK, "-o", tmp_path / "fit")
    metric = "--metric", tmp_path / "fit" / "metric.npz", "-o"
    asked = "distances", tmp_path / "x.h5ad", *KEYS[:2], *metric, tmp_path / "d.csv"
    out = call(*asked, status=2)
    assert "layer='log' is not there" in out.err and "--layer ''" in out.err
    call(*asked, "--layer", "")
    assert (tmp_path / "d.csv").exists()
    before = (tmp_path / "d.csv").read_bytes()
    assert "exists: give another output, or --overwrite" in call(*asked, "--layer", "", status=2).err
    assert (tmp_path / "d.csv").read_bytes() == before

    (tmp_path / "real.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    call("genes", *metric, tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "real.csv").stat().st_size > 0
    out = call("genes", *metric, tmp_path / "pipe.csv", status=2)
    assert "a device or a pipe" in out.err and (tmp_path / "pipe.csv").is_fifo()


def test_a_folder_without_a_finished_file_goes(tmp_path):
    with pytest.raises(KeyboardInterrupt) as stop, unfinished(tmp_path / "new" / "out") as keep:
        (keep / "fit-0.npz.part").touch()
        raise KeyboardInterrupt
    assert not stop.value.args and not list(tmp_path.iterdir())


def test_a_missing_extra_is_one_line(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)  # as where it is not installed
    error = call("distances", tmp_path, "--sample-key", "sample", "-o", tmp_path / "d.csv", status=2).err
    assert "pip install 'ggml_nb[scrna]'" in error and len(error.strip().splitlines()) == 1


def test_a_sparse_panel_of_few_markers_is_fitted(cells, tmp_path, call):
    adata = anndata.read_h5ad(cells)[:, :5].copy()
    adata.write_h5ad(tmp_path / "five.h5ad")
    keys = [
        "--sample-key",
        "sample",
        "--label-key",
        "label",
        "--max-epochs",
        "1",
        "--no-judge",
        "--gene-filter",
        "none",
    ]
    assert call("fit", tmp_path / "five.h5ad", *keys, "--figures", "svg", "-q", "-o", tmp_path / "out")
    assert (tmp_path / "out" / "metric.npz").exists()


def test_the_page_tells_of_what_was_read_and_of_each_new_sample_once(tmp_path, call, monkeypatch):
    "Coordinates are not filtered as genes are, a file may begin with a dash, and what is far is counted apart."
    adata = make_scrna(12, 20, 20, n_types=2, n_differential=5, severity=3, seed=0)
    adata.obsm["R"] = np.float32(np.log1p(adata.X.toarray()[:, :3]))
    adata.write_h5ad(tmp_path / "-cells.h5ad")
    monkeypatch.chdir(tmp_path)
    keys = ["--sample-key", "sample", "--label-key", "severity", "--use-rep", "R"]
    how = ["--target", "ordered", "--figures", "svg", "-q", "-o", "out"]
    call("fit", *keys, *how, "--", "-cells.h5ad")
    page = unescape((tmp_path / "out" / "report.html").read_text())
    assert "coordinates of obsm['R'] in the place of genes" in page and "features seen in" not in page
    assert "ggml-nb fit ./-cells.h5ad --sample-key sample" in page
    assert "go with the order of severity?" in page and "Held-out correlation" in page and "accuracy" not in page
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    people = pd.read_csv(tmp_path / "out" / "patients.csv")
    assert (tmp_path / "out" / "answers.svg").exists() and {*report["spearman"]} == {"ggml", "euclidean", "means"}
    assert people.held_out_answer.between(people.label.min(), people.label.max()).all() and "right" not in people
    adata.obsm["R"] = 5 * adata.obsm["R"] + 50
    adata.write_h5ad(tmp_path / "far.h5ad")
    said = call("place", "far.h5ad", *keys[:2], "--metric", "out/metric.npz", "--figures", "svg", "-o", "placed").out
    assert "12 new samples: 12 too far to say" in said


def test_numbers_are_judged_by_the_mean_of_the_nearest():
    "The answers of the rivals by hand, the correlations by SciPy; shuffled numbers and cell types are judged alike."
    rng, age = np.random.default_rng(0), np.arange(20, 80, 3)
    clouds = rng.normal(size=(20, 24, 4))
    clouds[:, ::2, 1] += age[:, None] / 8
    data, kinds = Distributions.from_list(clouds, age), np.tile(["a", "b"], 240)
    model = GGML(rank=2, target="ordered", max_epochs=2, random_state=0)
    found = outcome.learn(data, model, 0, n_splits=4, n_permutations=3, cell_types=kinds)
    assert (found.types.set_index("type").spearman.a > 0.8) and found.types.samples.eq(20).all()
    scores, answers = found.judged.scores, found.judged.answers
    assert {*scores.method} == {"ggml", "euclidean", "means", "composition-knn", "pilot"}
    assert found.judged.chance.shape == (3,) and outcome.p_value(found.judged) == 1 / 4
    for split, said in answers[answers.method == "euclidean"].groupby("split"):
        test = pd.Index(data.sample_names).get_indexer(said["sample"])
        train = np.setdiff1d(np.arange(20), test)
        D = found.D["euclidean"][np.ix_(test, train)]
        near = np.argsort(D, axis=1)[:, :5]
        by_hand = [np.average(age[train[k]], weights=1 / row[k]) for k, row in zip(near, D)]
        np.testing.assert_allclose(said.prediction, by_hand)
        rho = scores[(scores.method == "euclidean") & (scores.split == split)].spearman.item()
        assert rho == pytest.approx(spearmanr(said.truth, by_hand).statistic)
    assert list(outcome.summary(found.judged)) == ["spearman"]
    assert outcome.by_sample(found.judged, data).answer.notna().all()


@pytest.mark.parametrize("n, left", [(5, 2), (6, 3), (7, 3)])
def test_few_numbers_are_judged_while_three_are_left_to_learn_from(n, left):
    data = Distributions.from_list(np.random.default_rng(0).normal(size=(n, 8, 2)), np.arange(n))
    model = GGML(rank=1, target="ordered", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on parts of two samples
        if left < 3:
            with pytest.raises(ValueError, match=f"{n} samples leave {left} to learn from.*--no-judge"):
                outcome.learn(data, model, 0)
            found = outcome.learn(data, model, 0, n_splits=0)
            assert found.judged is None
        else:
            found = outcome.learn(data, model, 0)
            assert found.judged.answers["sample"].nunique() == n
