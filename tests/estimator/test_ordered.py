"""Ordered outcomes: the order is used, units are not, and what has no order is refused."""

import warnings

import numpy as np
import pytest

from ggml_nb import (
    GGML,
    Distributions,
    TunedGGML,
    cell_relevance,
    compare_metrics,
    cross_validate,
    fit_anndata,
    from_anndata,
    grid_search,
    make_scrna,
)
from ggml_nb.estimator.ordered import graded, ordered_triplets, spearman
from ggml_nb.evaluation.evaluation import splits_for


def cohort(n=12, seed=0, values=None, d=4):
    "Clouds that move along axis 0 by a step a degree."
    rng = np.random.default_rng(seed)
    values = np.arange(n) % 4 if values is None else np.asarray(values)
    clouds = [rng.normal(size=(15, d)) + rng.normal(0, 0.2, d) + 2 * v * (np.arange(d) == 0) for v in values]
    return Distributions.from_list(clouds, values)


@pytest.fixture(scope="module")
def severity():
    adata = make_scrna(24, 60, 300, n_types=4, n_differential=20, severity=3, seed=1)
    return from_anndata(adata, "sample", "severity", gene_filter=None, target="ordered")


def correlation(data, **how):
    answers = cross_validate(data, GGML(random_state=0, n_jobs=1, **how), 4, return_answers=True)[1]
    return np.mean([spearman(a.truth, a.prediction) for _, a in answers.groupby("split")])


def test_severity_is_told_in_order_and_better_than_as_classes(severity):
    ordered, classes = correlation(severity, target="ordered"), correlation(severity)
    assert ordered >= 0.8 and ordered > classes + 0.05


@pytest.mark.parametrize("change", [lambda y: 100 * y + 7, lambda y: 3 - y])
def test_neither_unit_nor_direction_matters(change):
    D = cohort(16)
    one = GGML(target="ordered", random_state=0, n_jobs=1, max_epochs=3).fit(D)
    D.class_names = change(D.class_names.astype(float))
    other = GGML(target="ordered", random_state=0, n_jobs=1, max_epochs=3).fit(D)
    assert np.allclose(one.components_, other.components_, rtol=1e-6)
    assert np.allclose(change(one.predict(D)), other.predict(D))


@pytest.mark.filterwarnings("ignore:the held-out loss")
def test_ages_are_numbers_not_classes(tmp_path):
    ages = np.random.default_rng(0).uniform(0, 3, 20)
    D, new = cohort(values=ages), cohort(values=ages + 0.1, seed=1)
    model = GGML(target="ordered", random_state=0, n_jobs=1).fit(D)
    assert model.score(new) > 0.9 and model.predict(new).dtype.kind == "f"
    model.save(tmp_path / "metric.npz")
    assert np.array_equal(GGML.load(tmp_path / "metric.npz").predict(new), model.predict(new))
    with pytest.raises(ValueError, match="target='ordered' has no classes"):
        model.predict_proba(new)
    with pytest.raises(ValueError, match="must be classes, got the number .* target='ordered'"):
        GGML().fit(D)
    assert list(np.bincount(graded(D).labels)) == [5] * 4
    table = cross_validate(D, model, 3)
    assert list(table) == ["split", "seconds", "spearman"] and table.spearman.min() > 0.8


@pytest.mark.parametrize("labels", [["mild", "severe"] * 4, [True, False] * 4, [1, 1] * 4, [1, np.inf] * 4])
def test_what_has_no_order_is_refused(labels):
    D = Distributions(np.zeros((8, 2)) + np.arange(8)[:, None], np.arange(8), labels)
    with pytest.raises(ValueError, match="labels must.*got inf:" if np.inf in labels else "labels must"):
        GGML(target="ordered").fit(D)


def test_triplets_keep_to_the_order_and_to_batches():
    y = np.random.default_rng(0).normal(size=30)
    batches = np.arange(30) % 2
    i, j, k = ordered_triplets(y, 3, 0, np.random.default_rng(1).random((30, 30)), batches).T
    assert (np.abs(y[i] - y[j]) < np.abs(y[j] - y[k])).all() and len(i) > 200
    assert (batches[i] == batches[j]).all() and (batches[j] == batches[k]).all()
    with pytest.raises(ValueError, match="no three samples"):
        ordered_triplets(np.arange(4.0), batches=np.array([0, 0, 1, 1]))


@pytest.mark.filterwarnings("ignore:the held-out loss")
def test_a_batch_is_not_taken_for_the_degree():
    "One of six of each degree was not measured in the batch of its like, and all cells of a batch lie aside."
    values = np.repeat([0, 1, 2, 3], 6)
    batches = (values > 1) ^ (np.arange(24) % 6 == 0)
    D, new = (cohort(values=0.2 * values, seed=seed, d=8) for seed in range(2))
    for data, where in ((D, batches), (new, ~batches)):
        data.points[:, 1] += 4 * where[data.sample]
    blind = GGML(target="ordered", random_state=0, n_jobs=1).fit(D).score(new)
    D.batches = batches
    known = GGML(target="ordered", random_state=0, n_jobs=1).fit(D)
    assert known.score(new) > blind + 0.1
    weight = np.linalg.norm(known.components_, axis=0)
    assert weight[1] < 0.1 * weight[0]
    D.batches = values
    with pytest.raises(ValueError, match="no method can tell these numbers from the batches"):
        GGML(target="ordered").fit(D)


def test_comparison_has_one_figure(severity):
    few = severity.subsample(20)
    rows, said = compare_metrics(
        few, ["euclidean", "ggml-start", "pca"], n_splits=1, target="ordered", return_answers=True
    )
    assert rows.spearman.notna().all() and "accuracy" not in rows and said.prediction.dtype.kind == "f"
    assert all(len(np.unique(few.classes[train])) == 4 for train, _ in splits_for("ordered", few, 3, 0.5, 0))


def test_whole_numbers_are_named_once():
    adata = make_scrna(8, 20, 60, n_types=2, n_differential=5, severity=3)
    with pytest.warns(UserWarning, match="numbers 0, 1, 2, 3, treated as classes; target='ordered' would use"):
        from_anndata(adata, "sample", "severity", gene_filter=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "labels are the numbers")
        model = fit_anndata(adata, "sample", "severity", target="ordered", gene_filter=None, n_jobs=1, max_epochs=1)
        from_anndata(adata, "sample", "label", gene_filter=None)
    assert model.target == "ordered" and np.isfinite(adata.uns["ggml"]["patterns"]["overall"]).all()


def test_an_order_is_tuned_by_its_correlation():
    data, model = cohort(24, values=np.arange(24) / 4), GGML(target="ordered", random_state=0, max_epochs=1)
    grid = grid_search(data, {"rank": [1, 2]}, model, n_splits=1)
    assert list(grid) == ["rank", "spearman", "std"] and grid.spearman.min() > 0.8
    tuned = TunedGGML({"rank": [1, 2]}, model=model, n_splits=1, share=0.4).fit(data)
    assert list(tuned.grid_) == ["rank", "spearman"]


def test_cells_of_an_order_vote_for_its_grades():
    table = cell_relevance(cohort(24, values=np.arange(24) / 4), GGML(target="ordered", max_epochs=1), n_splits=2, k=20)
    assert set(table.label) == {"0 to 1.25", "1.5 to 2.75", "3 to 4.25", "4.5 to 5.75"} and table.accuracy.mean() > 0.5


@pytest.mark.parametrize("y", [["a"] * 12, np.full(12, np.nan)])
def test_a_truth_without_numbers_is_refused(y):
    data = cohort()
    with pytest.raises(ValueError, match="y must be finite numbers with target='ordered'"):
        GGML(target="ordered", max_epochs=1).fit(data).score([data[i] for i in range(12)], y)


def test_an_order_that_is_forgotten_is_named(severity):
    with pytest.warns(UserWarning, match="read as an ordered outcome and are learned as classes"):
        GGML(max_epochs=1).fit(severity)
    with warnings.catch_warnings(record=True) as said:
        GGML(max_epochs=1).fit(graded(severity))
    assert not any("ordered" in str(warning.message) for warning in said)
