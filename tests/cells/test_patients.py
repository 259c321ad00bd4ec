"""New patients, relevant cells, summaries of clouds."""

import copy
import warnings

import anndata
import dask.array as da
import numpy as np
import pytest
from scipy import sparse

from ggml_nb import (
    GGML,
    Distributions,
    cell_relevance,
    fit_anndata,
    fitted_distributions,
    from_anndata,
    make_distributions,
    make_scrna,
    pairwise_wasserstein,
    permutation_test,
    place_patients,
    plot_embedding,
    plot_placement,
    plot_relevance,
    project,
    project_anndata,
    summarize,
    summary_error,
)
from ggml_nb.cells.patients import remember_wide


@pytest.fixture(scope="module")
def cohort():
    adata = make_scrna(16, 60, 300, n_differential=30, effect=2.5, seed=3)
    new = adata.obs["sample"].isin([f"patient {p:02d}" for p in (0, 1, 14, 15)]).to_numpy()
    known, arrived = adata[~new].copy(), adata[new].copy()
    return known, arrived, fit_anndata(known, "sample", "label")


def test_new_patients_are_placed(cohort, tmp_path):
    known, arrived, model = cohort
    placed = place_patients(known, arrived)
    truth = arrived.obs.groupby("sample", observed=True).label.first().astype(str)
    assert (placed.table.predicted == truth[placed.table.index]).all() and (placed.table.ratio_all < 1.2).all()
    D, old = placed.distances.to_numpy(), fitted_distributions(known)
    new = from_anndata(arrived, "sample", "label", gene_filter=old.feature_names)
    want = pairwise_wasserstein(new, model.components_)
    assert np.allclose(D[12:, 12:], want, rtol=1e-4) and np.allclose(D[:12, :12], model.pairwise(old), rtol=1e-4)
    arrived.write_h5ad(tmp_path / "new.h5ad")
    for again in (place_patients(known, tmp_path / "new.h5ad"), place_patients(model, new, old=old)):
        assert np.allclose(again.table.distance, placed.table.distance, rtol=1e-5)
    assert plot_placement(placed).collections


def test_missing_genes_are_reported_and_left_out_on_both_sides(cohort):
    known, arrived, model = cohort
    names = fitted_distributions(known).feature_names
    lacking = arrived[:, ~arrived.var_names.isin(names[:5])].copy()
    with pytest.warns(UserWarning, match=rf"new lacks 5 of {len(names)} features of the metric"):
        placed = place_patients(known, lacking)
    clouds = []
    for adata, label in ((known, "label"), (arrived, "sample")):
        silent = adata.copy()
        silent.X = adata.X.multiply(~adata.var_names.isin(names[:5])).tocsr()
        clouds.append(from_anndata(silent, "sample", label, gene_filter=names))
    assert np.allclose(placed.table.distance, place_patients(model, clouds[1], old=clouds[0]).table.distance, rtol=1e-5)


def test_a_metric_alone_gives_new_cells_the_mean_of_a_gene_they_lack(cohort):
    known, arrived, model = cohort
    model = copy.copy(model)
    remember_wide(model, fitted_distributions(known))
    with pytest.warns(UserWarning, match="new lacks 5 of"):
        lacking = place_patients(
            model, arrived[:, ~arrived.var_names.isin(model.feature_names_in_[:5])].copy(), "sample"
        )
    filled = arrived.copy()
    mean = np.asarray(fitted_distributions(known).points.mean(axis=0)).ravel()[:5]
    dense = filled.to_df()
    dense[list(model.feature_names_in_[:5])] = mean
    filled.X = dense.to_numpy()
    table = place_patients(known, filled).table
    assert np.allclose(lacking.table[["distance", "ratio_all"]], table[["distance", "ratio_all"]], rtol=1e-4)


def test_new_patients_are_checked(cohort):
    known, arrived, model = cohort
    other = arrived.copy()
    other.var_names = "ENSG" + other.var_names
    with pytest.raises(ValueError, match="new has none of the"):
        place_patients(known, other)
    bare = copy.copy(model)
    del bare.clouds_  # as in a metric of version 0.1
    with pytest.raises(ValueError, match="old is missing"):
        place_patients(bare, arrived, "sample")
    with pytest.raises(KeyError, match="not a column"):
        place_patients(known, arrived, "patient")
    with pytest.raises(ValueError, match="k == 0"):
        place_patients(known, arrived, k=0)
    with pytest.raises(ValueError, match="n_splits == 0"):
        cell_relevance(fitted_distributions(known), n_splits=0)


def test_features_are_matched_by_name_everywhere(cohort):
    known, arrived, model = cohort
    names = fitted_distributions(known).feature_names
    old, turned = (from_anndata(known, "sample", "label", gene_filter=g) for g in (names, names[::-1]))
    assert np.allclose(model.transform(turned), model.transform(old)) and np.allclose(
        model.pairwise(turned), model.pairwise(old)
    )
    assert np.allclose(model.transform(old.points), model.transform(old))
    for wrong in (turned, from_anndata(known, "sample", "label", gene_filter=None)):
        with pytest.raises(ValueError, match=f"old must have the {len(names)} features of the fit in its order"):
            place_patients(model, arrived, "sample", old=wrong)
    with pytest.raises(ValueError, match="X has none of the"):
        model.transform(Distributions(old.points, old.sample, old.labels, feature_names=["x" + n for n in names]))


def test_transform_takes_the_matrix_of_the_fit(cohort, tmp_path):
    known = cohort[0].copy()
    known.layers["log"], counts = known.X.copy(), np.round(np.expm1(known.X.toarray())).astype(np.float32)
    known.X = counts
    model = fit_anndata(known, "sample", "label", layer="log", max_epochs=1)
    assert np.allclose(project_anndata(model, known), known.obsm["X_ggml"], atol=1e-5)
    with pytest.warns(UserWarning, match="raw counts"):
        project_anndata(cohort[2], known)
    model.save(tmp_path / "metric.npz")
    known.write_h5ad(tmp_path / "known.h5ad")
    again = project_anndata(GGML.load(tmp_path / "metric.npz"), tmp_path / "known.h5ad")
    assert np.allclose(again, known.obsm["X_ggml"], atol=1e-5)
    lazy = known.copy()
    lazy.layers["log"] = da.from_array(known.layers["log"], chunks=(100, -1), asarray=False)
    assert np.allclose(project_anndata(model, lazy), again, atol=1e-5)
    data = from_anndata(known, "sample", "label", layer="log")
    data = data.subset(np.arange(len(data)))
    GGML(max_epochs=1, random_state=0).fit(data).save(tmp_path / "half.npz")  # as ggml-nb fit does
    half = GGML.load(tmp_path / "half.npz")
    assert half.source_ == {"layer": "log", "use_rep": None, "n_cells": 1000, "seed": 0, "where": None}
    assert np.allclose(project_anndata(half, known), project_anndata(half, known, layer="log"))
    known.obsm["X_few"] = counts[:, :4]
    model = fit_anndata(known, "sample", "label", use_rep="X_few", max_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.allclose(project_anndata(model, known), known.obsm["X_ggml"], rtol=1e-5)


def test_all_that_follows_a_fit_reads_its_layer(cohort, tmp_path):
    "Clouds, summaries and new patients come from the layer of the fit, unless another is named."
    known = cohort[0].copy()
    known.layers["log"] = known.X.copy()
    known.X = sparse.random_array(known.shape, density=0.1, rng=0, format="csr", dtype=np.float32)
    data = from_anndata(known, "sample", "label", layer="log")
    model = GGML(max_epochs=1, random_state=0).fit(data)
    assert place_patients(model, known, "sample", old=data).table.distance.max() < 1e-6
    assert place_patients(model, known, "sample", old=data, layer=None).table.distance.max() > 0.1
    coarse = GGML(max_epochs=1, random_state=0).fit(summarize(data, 5))
    assert np.array_equal(project_anndata(coarse, known), project_anndata(coarse, known, layer="log"))
    plain = cohort[0].copy()
    assert np.allclose(project_anndata(model, plain, layer=None), project_anndata(model, known), atol=1e-5)
    with pytest.raises(TypeError, match="points must be a numeric .* got an AnnData: from_anndata reads cells"):
        model.transform(plain)


def test_numbers_are_names_too(cohort):
    "AnnData's default names, 0, 1, ..., are matched like others; data without names go by position."
    numbered = cohort[0].copy()
    numbered.var_names = [str(i) for i in range(numbered.n_vars)]
    mixed = numbered[:, np.random.default_rng(0).permutation(numbered.n_vars)].copy()
    a, b = (from_anndata(x, "sample", "label", gene_filter=None) for x in (numbered, mixed))
    model = GGML(max_epochs=1, random_state=0).fit(a)
    assert np.allclose(model.transform(a), model.transform(b), atol=1e-5)
    assert np.allclose(model.pairwise(a), model.pairwise(b), rtol=1e-5)
    few = GGML(max_epochs=1, random_state=0).fit(from_anndata(numbered, "sample", "label"))
    assert np.allclose(few.transform(a), few.transform(b), atol=1e-5)
    with pytest.raises(ValueError, match="X has 5 features, but GGML was fitted with 300"):
        model.transform(Distributions.from_list([np.ones((2, 5))] * 2, [0, 1]))


def test_a_dataframe_is_matched_by_name(cohort):
    known, _, model = cohort
    table = known.to_df()[list(model.feature_names_in_)[::-1]]
    assert np.allclose(model.transform(table), known.obsm["X_ggml"], atol=1e-5)
    assert np.allclose(model.transform(known.to_df()), known.obsm["X_ggml"], atol=1e-5)


def test_relevance_goes_back_to_its_cells(cohort):
    known = cohort[0].copy()
    data = from_anndata(known, "sample", "label", n_cells=30)
    table = cell_relevance(data, GGML(max_epochs=1, random_state=0), n_splits=2)
    assert (known.obs.loc[table.index, "sample"].astype(str) == table["sample"]).all()
    known.obs["relevance"] = table.accuracy
    assert known.obs.relevance.notna().sum() == table.accuracy.notna().sum() > 0
    part = data.subset([3, 1])
    assert (known.obs.loc[part.point_names, "sample"].astype(str) == part.sample_names[part.sample]).all()


def test_padding_does_not_vote_on_relevance():
    data = make_distributions(2, 4, n_points=5, seed=0)
    count, n = len(data.sample), len(data)
    points = np.vstack([data.points, np.repeat(data.points[:n], 40, axis=0)])
    sample = np.concatenate([data.sample, np.repeat(np.arange(n), 40)])
    padded = Distributions(points, sample, data.labels, np.arange(len(sample)) < count)
    model = GGML(max_epochs=1, random_state=0)
    A, B = (cell_relevance(x, model, n_splits=2, k=10).accuracy[:count] for x in (data, padded))
    assert np.allclose(A, B, equal_nan=True)


def test_what_cannot_work_is_said_before_a_fit(cohort, tmp_path):
    known, arrived, model = cohort
    with pytest.raises(TypeError, match="label_key cannot be given: labels are predicted"):
        place_patients(known, arrived, label_key="label")
    with pytest.raises(ValueError, match="adata lacks gene .* of the fit's genes"):
        place_patients(known[:, :30].copy(), arrived)
    with pytest.raises(ValueError, match=r"of a mask: adata.var_names\[mask\]"):
        from_anndata(known, "sample", "label", gene_filter=known.var.differential)
    known[:0].write_h5ad(tmp_path / "empty.h5ad")
    for empty in (tmp_path / "empty.h5ad", known[:0]):
        with pytest.raises(ValueError, match="adata has no cells"):
            from_anndata(empty, "sample", "label")
    arrived.write_h5ad(tmp_path / "new.h5ad")
    backed = anndata.read_h5ad(tmp_path / "new.h5ad", backed="r")
    with pytest.raises(ValueError, match="a view of a backed file"):
        fit_anndata(backed[backed.obs.label != ""], "sample", "label")
    backed.file.close()


def test_changed_labels_are_noticed(cohort):
    known = cohort[0].copy()
    known.obs["label"] = np.where(known.obs["sample"].cat.codes % 2 == 0, "P", "Q")
    with pytest.raises(ValueError, match=r"obs\['label'\] has changed since the fit"):
        place_patients(known, cohort[1])


def test_patients_with_known_names_are_told_apart(cohort):
    placed = place_patients(cohort[0], cohort[0])
    assert placed.distances.index.is_unique and all(name.endswith(" (new)") for name in placed.table.index)
    assert (placed.table.distance < 1e-3).all()


def test_a_name_that_was_made_new_before_is_told_apart():
    clouds = [np.random.default_rng(i).normal(i % 2, 1, (9, 2)) for i in range(4)]
    old = Distributions.from_list(clouds, [0, 1, 0, 1], sample_names=["p", "q", "p (new)", "r"])
    new = Distributions.from_list(clouds[:2], [0, 1], sample_names=["p", "p (new)"])
    placed = place_patients(GGML(max_epochs=1, random_state=0).fit(old), new)
    assert list(placed.distances)[4:] == list(placed.table.index) == ["p (new) (new)", "p (new) (new) (new)"]


def test_wrong_types_are_named(cohort):
    known, arrived, model = cohort
    D = fitted_distributions(known)
    for match, call in {
        "fitted must be an AnnData": lambda: place_patients(None, arrived),
        "old must be a Distributions, got AnnData": lambda: place_patients(model, arrived, "sample", old=known),
        "gene_filter cannot be given": lambda: place_patients(known, arrived, gene_filter=None),
        "distributions must be a Distributions, got AnnData": lambda: pairwise_wasserstein(known),
        "X must be a Distributions or a list of clouds, got AnnData": lambda: GGML().fit(known, ["a"]),
        "summary must be a Distributions": lambda: summary_error(D, known),
    }.items():
        with pytest.raises(TypeError, match=match):
            call()
    for match, call in {
        "summary must hold the same samples": lambda: summary_error(D, D.subset(np.arange(len(D))[::-1])),
        "coordinates must be": lambda: plot_embedding(np.zeros((5, 2)), ["a"] * 3),
        "threshold must lie between 0 and 1, got 5": lambda: cell_relevance(D, threshold=5),
        "no class has three donors": lambda: cell_relevance(D.subset([0, 1, 10, 11])),
        "n_permutations == 0": lambda: permutation_test(D, n_permutations=0),
        "all alike": lambda: GGML(max_epochs=1).fit([np.arange(6.0).reshape(3, 2)] * 8, [0, 1] * 4),
        "n_jobs must be": lambda: GGML(n_jobs=1.5).fit(D),
        "rank must be an integer": lambda: GGML(rank=True).fit(D),
        "random_state must be": lambda: GGML(random_state="x").fit(D),
        "checkpoint must be the path of a file": lambda: GGML(checkpoint="/").fit(D),
    }.items():
        with pytest.raises(ValueError, match=match):
            call()


def test_only_changed_cells_are_relevant(cohort):
    known = cohort[0]
    D = fitted_distributions(known)
    table = cell_relevance(D, n_splits=4, k=30)
    kind = known.obs.cell_type.to_numpy()  # all cells were used, so rows agree
    ill = (table.label == "diseased").to_numpy()
    accuracy = table.accuracy.to_numpy()
    assert np.nanmean(accuracy[ill & (kind == "type 0")]) > np.nanmean(accuracy[ill & (kind != "type 0")]) + 0.2
    assert ((table.accuracy >= 0) & (table.accuracy <= 1) | table.accuracy.isna()).all()
    assert table.relevant.equals(table.accuracy >= 0.9)
    assert plot_relevance(project(D.points, cohort[2].components_)[:, :2], table).collections


def test_a_cell_is_not_judged_by_its_own_donor():
    "Clouds far apart whose labels mean nothing: with cells of its own patient each cell would be right."
    rng = np.random.default_rng(0)
    clouds = [rng.normal(20 * rng.normal(size=3), 1, (20, 3)) for _ in range(12)]
    D = Distributions.from_list(clouds, np.tile([0, 1], 6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cell_relevance(D, n_splits=6, k=10).accuracy.mean() < 0.8


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
@pytest.mark.parametrize("dense", [True, False])
def test_summaries_keep_mass_and_mean(cohort, method, dense):
    D = fitted_distributions(cohort[0])
    if dense:
        D = Distributions(D.points.toarray(), D.sample, D.labels, sample_names=D.sample_names)
    small = summarize(D, 6, method)
    assert sparse.issparse(small.points) != dense and np.bincount(small.sample).max() <= 6
    for i in range(len(D)):
        mean = small.weights[small.rows(i)] @ small[i]
        assert np.allclose(mean, np.asarray(D[i].mean(axis=0)).ravel(), atol=1e-5)
    assert np.array_equal(small.labels, D.labels) and np.array_equal(small.sample_names, D.sample_names)


def test_one_cell_is_its_own_summary():
    D = Distributions.from_list([np.ones((1, 2)), np.arange(8.0).reshape(4, 2)], [0, 1])
    small = summarize(D, 2, "gmm")
    assert np.array_equal(small[0], D[0]) and len(small[1]) == 2


def test_more_clusters_less_error():
    D = make_distributions(n_points=10, n_per_class=2, noise_scale=1)
    with warnings.catch_warnings():  # scikit-learn's, on points that coincide
        warnings.simplefilter("ignore")
        one, some, every = (summary_error(D, summarize(D, m)) for m in (1, 15, 30))
    assert one["median"] > 2 * some["median"] > every["median"] and every["max"] < 1e-4
    assert every["spearman"] > 0.999 and one["max"] > some["max"]


def test_a_summary_keeps_batches(cohort):
    D = fitted_distributions(cohort[0])
    D.batches = np.resize(["one", "other"], len(D))
    assert summarize(D, 3).batches.tolist() == D.batches.tolist()


def test_named_summaries_are_means_of_the_names(cohort):
    known = cohort[0]
    D, kind = fitted_distributions(known), known.obs.cell_type.to_numpy()
    small = summarize(D, kind)
    rows = D.rows(0)
    sizes = np.unique(kind[rows], return_counts=True)[1]
    assert np.allclose(small.weights[small.rows(0)], sizes / sizes.sum())
    first = D.points[rows[kind[rows] == kind[rows].min()]].mean(axis=0)
    assert np.allclose(small[0].toarray()[0], first, atol=1e-6)
    for by, match in ((kind[:5], "must name each"), (0, "whole number"), (2.5, "whole number"), ("x", "whole number")):
        with pytest.raises(ValueError, match=match):
            summarize(D, by)
    with pytest.raises(ValueError, match="method must be"):
        summarize(D, 3, "dbscan")


def test_placing_works_on_a_representation(cohort):
    known, arrived = cohort[0].copy(), cohort[1].copy()
    for adata in (known, arrived):
        adata.obsm["X_few"] = adata.X[:, :10].toarray()
    fit_anndata(known, "sample", "label", use_rep="X_few")
    placed = place_patients(known, arrived)
    assert len(placed.table) == 4 and isinstance(known, anndata.AnnData)


def test_a_gene_that_a_new_file_lacks_moves_nobody():
    "A gene that is high everywhere is no difference where a new file has none: its mean stands in."
    adata = make_scrna(24, 30, 60, n_differential=5, patient_noise=0.2, seed=0)
    adata.X = adata.X.toarray()
    adata.X[:, 7] = 5 + np.random.default_rng(0).normal(size=adata.n_obs) * 0.4
    third = adata.obs["sample"].astype("category").cat.codes % 3
    old, new = adata[third < 2].copy(), adata[third == 2].copy()
    model = fit_anndata(old, "sample", "label")
    whole, part = place_patients(model, new, "sample"), new[:, np.arange(60) != 7].copy()
    with pytest.warns(UserWarning, match="lacks 1 of 60 features.*their means in the fit stand in"):
        lacking = place_patients(model, part, "sample")
    assert np.allclose(whole.distances, lacking.distances, rtol=0.1)
    assert (whole.table.predicted == lacking.table.predicted).all()
    with pytest.warns(UserWarning, match="stand in"):
        moved = project_anndata(model, part) - project_anndata(model, new)
    assert np.abs(moved.mean(axis=0)).max() < 0.05


def test_new_cells_are_drawn_as_those_of_the_fit(tmp_path):
    adata = make_scrna(16, 40, 40, n_differential=5)
    kind = {"cell_type": adata.obs.cell_type.iloc[0]}
    model = GGML(random_state=0).fit(from_anndata(adata, "sample", "label", n_cells=12, where=kind, min_cells=1))
    model.save(tmp_path / "metric.npz")
    for fitted in (model, GGML.load(tmp_path / "metric.npz")):
        asked = dict(n_cells=12, where=kind, min_cells=1)
        same = place_patients(fitted, from_anndata(adata, "sample", None, gene_filter=None, **asked))
        assert np.allclose(place_patients(fitted, adata, "sample", min_cells=1).distances, same.distances)
        assert place_patients(fitted, adata, "sample", where=None).table.distance.max() > 0  # other cells
