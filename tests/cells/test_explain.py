"""A distance is exactly the sum of its parts."""

import numpy as np
import ot
import pytest

from ggml_nb import GGML, Distributions, explain_distance, fit_anndata, fitted_distributions, make_scrna, rank_genes


@pytest.fixture(scope="module")
def fitted():
    adata = make_scrna(8, 40, 80, n_types=3, n_differential=10, effect=2.5, seed=2)
    fit_anndata(adata, "sample", "label", gene_filter=None, key_added="first", max_epochs=1)
    return adata, fit_anndata(adata, "sample", "label", gene_filter=None, max_epochs=1)


def test_parts_add_up_to_the_distance(fitted):
    adata, model = fitted
    D = fitted_distributions(adata)
    distances = model.pairwise(D)
    for i, j in [(0, 7), (3, 1)]:
        why = explain_distance(adata, D.sample_names[i], D.sample_names[j], by="cell_type")
        assert np.isclose(why.distance, distances[i, j], rtol=1e-6)
        for part in (why.genes.part, why.cells.part, why.kinds.stack()):
            assert abs(part.sum() - why.distance) <= 1e-9 * why.distance
        assert set(why.genes.gene) == set(D.feature_names) and why.genes.part.is_monotonic_decreasing
        assert (why.cells.kind == adata.obs.cell_type[why.cells.index].to_numpy()).all()
        halves = why.cells.groupby("sample").part.sum()
        assert np.allclose(halves, why.distance / 2)  # each end has half of every way
        assert np.allclose(why.kinds.sum(axis=1), 2 * why.cells[why.cells["sample"] == D.sample_names[i]]
                           .groupby("kind").part.sum().reindex(why.kinds.index))  # fmt: skip


def test_parts_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    D = Distributions.from_list(
        [rng.normal(size=(n, 6)) + c for n, c in [(7, 0), (9, 1), (8, 0), (7, 1)]], [0, 1, 0, 1]
    )
    model = GGML(rank=2, random_state=0, n_jobs=1, max_epochs=1).fit(D)
    why, W = explain_distance(model, "0", "1", distributions=D), model.components_
    delta = D[0].astype(float)[:, None] - D[1].astype(float)[None]
    length = np.linalg.norm(delta @ W.T, axis=2)
    plan = ot.emd(D.weights[D.rows(0)], D.weights[D.rows(1)], length)
    want = (plan[:, :, None] * delta * (delta @ W.T @ W) / length[:, :, None]).sum(axis=(0, 1))
    assert np.allclose(why.genes.set_index("gene").part[D.feature_names], want, rtol=1e-5, atol=1e-8)
    assert np.isclose(why.distance, (plan * length).sum(), rtol=1e-6)


def test_another_key_names_another_fit(fitted):
    adata, _ = fitted
    names = adata.obs["sample"].unique()
    assert np.isclose(
        explain_distance(adata, *names[:2], key="first").distance, explain_distance(adata, *names[:2]).distance
    )
    ranking = rank_genes(adata, key="first")
    assert (ranking.gene == rank_genes(adata).gene).all()
    with pytest.raises(KeyError, match="run fit_anndata first"):
        rank_genes(adata, key="second")


def test_what_cannot_be_explained_is_said(fitted):
    adata, model = fitted
    first = adata.obs["sample"].iloc[0]
    with pytest.raises(ValueError, match="second must name a sample, got 'nobody'"):
        explain_distance(adata, first, "nobody")
    with pytest.raises(ValueError, match="must differ"):
        explain_distance(adata, first, first)
    with pytest.raises(TypeError):
        explain_distance(model, first, first)
