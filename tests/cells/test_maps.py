"""Patients as an AnnData of their own, and the colours that a file has."""

import numpy as np
import pandas as pd
import pytest

from ggml_nb import embed_samples, fit_anndata, fitted_distributions, from_anndata, make_scrna
from ggml_nb.evaluation.pictures import class_colors


@pytest.fixture(scope="module")
def cohort():
    adata = make_scrna(12, 30, 80, n_differential=10, effect=2.5, seed=0)
    adata.obs["label"] = pd.Categorical(adata.obs.label, ["healthy", "diseased"])
    adata.uns["label_colors"] = ["#123456", "#abcdef"]
    return adata, fit_anndata(adata, "sample", "label")


def test_rows_are_patients_with_distances_colours_and_order(cohort, tmp_path):
    adata, model = cohort
    patients = embed_samples(adata)
    clouds = fitted_distributions(adata)
    assert patients.obs_names.tolist() == clouds.sample_names.tolist() and patients.n_vars == clouds.d
    assert np.array_equal(patients.obsp["distances"], adata.uns["ggml"]["distances"])
    assert patients.obs.label.cat.categories.tolist() == ["healthy", "diseased"]
    assert patients.uns["label_colors"] == ["#123456", "#abcdef"]
    again = embed_samples(clouds, model)
    assert np.allclose(again.obsp["distances"], patients.obsp["distances"], rtol=1e-6)
    assert np.allclose(again.X, patients.X, atol=1e-5) and again.obs.equals(patients.obs)
    patients.write_h5ad(tmp_path / "patients.h5ad")
    with pytest.raises(TypeError, match="source must be an AnnData after fit_anndata"):
        embed_samples(np.eye(3))


def test_a_file_keeps_its_colours_and_damaged_ones_are_ignored(cohort, tmp_path):
    adata = cohort[0].copy()
    for colors, known in [(["#123456", "red"], True), (["#123456"], False), (["#123456", "no colour"], False)]:
        adata.uns["label_colors"] = np.array(colors, dtype=object)
        adata.write_h5ad(tmp_path / "cells.h5ad")
        for source in (adata, tmp_path / "cells.h5ad"):
            found = from_anndata(source, "sample", "label", n_cells=5).colors
            assert found == (dict(zip(["healthy", "diseased"], colors)) if known else None)


def test_a_palette_is_a_list_in_order_or_a_dict():
    labels = pd.Series(pd.Categorical(["b", "a", "b"], ["b", "a", "unused"]))
    assert class_colors(labels, ["red", "blue"]) == {"b": "red", "a": "blue"}
    assert class_colors(np.asarray(labels), ["red", "blue"]) == {"a": "red", "b": "blue"}
    assert class_colors(labels, {"a": "blue", "b": "red", "c": "green"}) == {"a": "blue", "b": "red"}
    with pytest.raises(ValueError, match="palette has no colour for 'b'"):
        class_colors(labels, {"a": "blue"})
