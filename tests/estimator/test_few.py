"Few patients, a sober answer: chance where there is nothing, and as good as the best simple rule where there is much."

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from ggml_nb import GGML, Distributions, knn_score, pairwise_wasserstein, rank_genes
from ggml_nb.estimator.scale import feature_scale, per_scale

NEW = 20


def cohort(n, seed, shift):
    "n + NEW clouds of 15 points in 12 features of other units; clouds drift, every other one is shifted in two."
    rng = np.random.default_rng(seed)
    units, moved = 10 ** rng.uniform(-2, 2, 12), shift * (np.arange(12) < 2)
    clouds = [(rng.normal(size=(15, 12)) + 0.5 * rng.normal(size=12) + (i % 2) * moved) * units for i in range(n + NEW)]
    return Distributions.from_list(clouds, np.arange(n + NEW) % 2)


def accuracies(per_class, shift, draws):
    "Mean balanced accuracy on new clouds: the default, Euclidean OT, OT between unit-free points."
    n, rows = 2 * per_class, []
    known, new = np.arange(n), np.arange(n, n + NEW)
    for seed in range(draws):
        data = cohort(n, seed, shift)
        part = data.subset(known)
        metrics = (
            GGML(random_state=0, n_jobs=1).fit(part).components_,
            None,
            np.diag(per_scale(feature_scale(part.points))),
        )
        D = [pairwise_wasserstein(data, W, n_jobs=1) for W in metrics]
        rows.append([knn_score(d, data.labels, known, new, scoring=balanced_accuracy_score) for d in D])
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("per_class", [3, 5, 8])
def test_without_a_signal_few_patients_look_like_chance(per_class):
    draws = 8
    ours, *_ = accuracies(per_class, 0, draws)
    assert abs(ours - 0.5) < 3 * 0.5 / np.sqrt(draws * NEW)  # three standard errors of guessing


@pytest.mark.parametrize("per_class", [3, 5, 8])
def test_with_a_strong_signal_few_patients_suffice(per_class):
    ours, *simple = accuracies(per_class, 2.5, 4)
    assert ours > 0.9 and ours >= max(simple) - 0.02  # one answer of eighty may differ


def test_the_plain_share_adds_rows_and_changes_nothing_that_was_learned(tmp_path):
    data = cohort(10, 0, 1.0)
    bare, model = (GGML(random_state=0, n_jobs=1, shrinkage=share).fit(data) for share in (0, 0.3))
    k = model.n_axes_
    assert bare.n_axes_ == k and np.array_equal(bare.components_, model.components_[:k])
    variance = model.transform(data.points).var(axis=0)
    assert np.isclose(variance[k:].sum() / variance.sum(), 0.3)
    plain = model.components_[k:].T @ model.components_[k:]  # in proportion to one over the squared scales
    assert np.allclose(plain / plain[0, 0] * model.scale_[0] ** 2, np.diag(model.scale_**-2.0) * model.scale_[0] ** 4)
    assert rank_genes(bare).equals(rank_genes(model))
    model.save(tmp_path / "metric.npz")
    again = GGML.load(tmp_path / "metric.npz")
    assert (again.n_axes_, again.shrinkage_) == (k, 0.3) and np.array_equal(again.predict(data), model.predict(data))


@pytest.mark.parametrize("how", [{"reg": 0.1}, {"init": "random"}])
def test_a_penalty_or_another_start_takes_no_plain_share(how):
    assert GGML(random_state=0, n_jobs=1, max_epochs=1, **how).fit(cohort(10, 0, 1.0)).shrinkage_ == 0


@pytest.mark.parametrize("wrong", [1, -0.1, "some", True])
def test_a_share_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match="shrinkage must be 'auto' or a share"):
        GGML(shrinkage=wrong).fit(cohort(10, 0, 1.0))


@pytest.mark.parametrize("target", ["classes", "ordered"])
def test_constant_features_are_no_directions(target):
    data = cohort(10, 0, 3).subset(np.arange(10))
    labels = np.arange(10) % 2 if target == "classes" else np.arange(10.0)
    found = []
    for k in (0, 40):
        points = np.hstack([data.points, np.full((len(data.points), k), 7.0)])
        model = GGML(target=target, random_state=0, n_jobs=1).fit(Distributions(points, data.sample, labels))
        assert not model.components_[:, 12:].any()
        found.append(model.components_[:, :12])
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("how", [{}, {"init": "random"}, {"metric": "diagonal"}, {"target": "ordered"}])
def test_features_that_are_all_constant_are_refused(how):
    with pytest.raises(ValueError, match="every feature is constant"):
        GGML(**how).fit([np.full((5, 3), 7.0)] * 8, np.arange(8) % (8 if how.get("target") else 2))
