"""Damaged metrics and checkpoints: one sentence, no crash, no gigabytes."""

import os
import resource
import zipfile

import numpy as np
import pytest

from ggml_nb import GGML, make_distributions

DATA = make_distributions(4, n_points=8, seed=0)


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    path = tmp_path_factory.mktemp("metric") / "metric.npz"
    GGML(rank=2, max_epochs=1, random_state=0).fit(DATA).save(path)
    return path


def with_changes(path, folder, **change):
    "The file with other arrays; None leaves one out."
    arrays = {**np.load(path), **change}
    np.savez(folder / "bad.npz", **{name: x for name, x in arrays.items() if x is not None})
    return folder / "bad.npz"


METRIC = {
    "W of one axis": {"components_": np.ones(4)},
    "W of three axes": {"components_": np.ones((2, 4, 1))},
    "W with NaN": {"components_": np.full((2, 4), np.nan)},
    "W complex": {"components_": np.ones((2, 4), complex)},
    "W in text": {"components_": np.array([["a"] * 4] * 2)},
    "W empty": {"components_": np.ones((0, 4))},
    "W of other features": {"components_": np.ones((2, 5))},
    "scale of other features": {"scale_": np.ones(3)},
    "scale infinite": {"scale_": np.full(4, np.inf)},
    "names too few": {"feature_names_in_": np.array(["a"])},
    "classes of two axes": {"classes_": np.ones((2, 2))},
    "no scale": {"scale_": None},
    "parameters are no JSON": {"params": "rank"},
    "parameters are a list": {"params": "[1]"},
    "parameters in circles": {"params": "[" * 10**5},
    "source is a list": {"source": "[]"},
    "source of no cells": {"source": '{"n_cells": -1}'},
    "source of text": {"source": '{"where": "abc"}'},
    "half an axis": {"n_axes_": 1.5},
    "clouds of other points": {"clouds_points": np.ones((3, 2), np.float32)},
    "clouds in other dimensions": {"clouds_points": np.ones((len(DATA.sample), 3), np.float32)},
    "clouds with NaN": {"clouds_points": np.full((len(DATA.sample), 2), np.nan, np.float32)},
}


@pytest.mark.parametrize("name", METRIC)
def test_a_damaged_metric_is_refused(metric, tmp_path, name):
    assert np.array_equal(GGML.load(metric).components_, np.load(metric)["components_"])
    with pytest.raises(ValueError, match=r"bad.npz is not a metric written by GGML.save") as caught:
        GGML.load(with_changes(metric, tmp_path, **METRIC[name]))
    assert len(str(caught.value)) < 600


BESIDE = {
    "axes turned round": {"wide_axes": lambda x: x.T},
    "axes missing": {"wide_axes": lambda x: None},
    "points with NaN": {"wide_points": lambda x: np.where(np.arange(len(x))[:, None], x, np.nan)},
    "points missing": {"wide_points": lambda x: None},
    "points without mass": {"wide_weights": lambda x: 0 * x},
    "points of fewer samples": {"wide_sample": lambda x: x[:-5]},
    "p-values that are none": {"patterns_p_value": lambda x: x + 2},
    "patterns of other features": {"patterns_overall": lambda x: x[:-1]},
    "patterns of one axis": {"patterns_axes": lambda x: x[0]},
    "differences with NaN": {"genes_difference": lambda x: x * np.nan},
    "directions of other features": {"genes_higher_in": lambda x: x[:3]},
}


@pytest.fixture(scope="module")
def metric_of_genes(tmp_path_factory):
    from ggml_nb import from_anndata, make_scrna
    from ggml_nb.cells.genes import keep_genes
    from ggml_nb.cells.patients import remember_wide

    data = from_anndata(make_scrna(6, 12, 20, n_types=2, n_differential=4, seed=0), "sample", "label", gene_filter=None)
    model = GGML(max_epochs=1, random_state=0).fit(data)
    keep_genes(model, data)
    remember_wide(model, data)
    model.save(path := tmp_path_factory.mktemp("genes") / "metric.npz")
    return path


@pytest.mark.parametrize("name", BESIDE)
def test_damage_beside_a_metric_is_refused(metric_of_genes, tmp_path, name):
    arrays = np.load(metric_of_genes)
    assert GGML.load(metric_of_genes).genes_.keys() == {"higher_in", "difference"}
    with pytest.raises(ValueError, match=r"bad.npz is not a metric written by GGML.save"):
        change = {key: bad(arrays[key]) for key, bad in BESIDE[name].items()}
        GGML.load(with_changes(metric_of_genes, tmp_path, **change))


def test_a_metric_that_unpacks_to_gigabytes_is_refused(metric, tmp_path):
    bomb = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("params.npy", "w", force_zip64=True) as part,
    ):
        for _ in range(300):
            part.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="is not a metric"):
        GGML.load(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 2**10
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(ValueError, match="it is no file"):
        GGML.load(tmp_path / "pipe.npz")


@pytest.mark.parametrize("how", ["cut", "bytes"])
def test_bytes_that_changed_are_noticed_by_the_checksum(metric, tmp_path, how):
    data, rng = metric.read_bytes(), np.random.default_rng(0)
    for at in rng.integers(len(data), size=25):
        spoilt = data[:at] if how == "cut" else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        (tmp_path / "bad.npz").write_bytes(spoilt)
        try:
            again = GGML.load(tmp_path / "bad.npz")
        except ValueError:
            continue
        assert how == "bytes" and np.array_equal(again.components_, np.load(metric)["components_"])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "fit.npz"
    fit(path, 2)
    return path


def fit(path, epochs):
    return GGML(rank=2, max_epochs=epochs, random_state=0, checkpoint=path, n_jobs=1).fit(DATA)


def spoil_tree(parent, how):
    parent = parent.copy()
    parent[:] = {"far": 10**6, "negative": -5, "no-root": 0}.get(how, parent)
    if how == "circle":
        parent[1], parent[30] = 30, 1
    return parent


@pytest.mark.parametrize(
    "how", "far negative no-root circle short W number moments step NaN pairs progress rng".split()
)
def test_a_damaged_checkpoint_is_refused(checkpoint, tmp_path, how):
    arrays = dict(np.load(checkpoint))
    change = {
        "short": {"plan_flow": arrays["plan_flow"][:-3]},
        "W": {"now0": arrays["now0"][:1]},
        "number": {"now0": arrays["now0"][0, 0]},
        "step": {"adam0_step": np.ones((2, 4))},
        "moments": {"adam0_exp_avg": arrays["adam0_exp_avg"][:, :1]},
        "NaN": {"best0": arrays["best0"] * np.nan},
        "pairs": {"known": arrays["known"] + 10**6},
        "progress": {"progress": "{}"},
        "rng": {"rng": "{}"},
    }
    path = with_changes(
        checkpoint, tmp_path, **change.get(how, {"plan_parent": spoil_tree(arrays["plan_parent"], how)})
    )
    with pytest.raises(ValueError, match="is not a checkpoint of GGML"):
        fit(path, 3)


def test_a_sound_checkpoint_goes_on(checkpoint, tmp_path):
    path = with_changes(checkpoint, tmp_path)
    assert np.array_equal(
        fit(path, 3).components_, GGML(rank=2, max_epochs=3, random_state=0, n_jobs=1).fit(DATA).components_
    )
