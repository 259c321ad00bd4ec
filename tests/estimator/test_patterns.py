"Patterns of features against the scatters, Student's t, and themselves in other units, rotated and sparse."

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import kstest, ttest_ind, ttest_rel

from ggml_nb import Distributions, feature_patterns
from ggml_nb.estimator import fisher
from ggml_nb.estimator.fisher import both_scatters
from ggml_nb.estimator.patterns import (
    donor_means,
    leading_directions,
    moderated_t,
    partner_weights,
    plain_plans,
    sample_patterns,
    signed_arrows,
)


def simulated(classes, per_class=6, d=8, seed=0, **about):
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), per_class)
    clouds = [rng.normal(size=(25, d)) + rng.normal(size=d) * 0.3 + 2 * c * (np.arange(d) == 0) for c in labels]
    return Distributions.from_list(clouds, labels, **about)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_mean_over_classes_is_the_excess_scatter_times_w(classes):
    D, w = simulated(classes), np.random.default_rng(1).normal(size=8)
    plans = plain_plans(D.points, D, partners=100, n_jobs=1)
    arrows = signed_arrows(plans)
    h = sample_patterns(D.points, D.points @ w, arrows)
    same, diff = both_scatters(D.points.astype(float), plans, D.labels)
    mean = np.mean([h[D.labels == c].mean(axis=0) for c in range(classes)], axis=0)
    assert np.allclose(mean, (diff - same) @ w, rtol=1e-4, atol=1e-5)
    z = np.random.default_rng(2).normal(size=(len(D.points), 3))
    many = sample_patterns(sparse.csr_array(D.points), z, arrows)  # of several coordinates at once
    A = sparse.coo_array((arrows.mass, (arrows.sample, np.arange(len(arrows.mass))))).tocsr()
    step = z[arrows.tail] - z[arrows.head]
    for t in range(3):
        assert np.allclose(many[t], A @ (step[:, t, None] * (D.points[arrows.tail] - D.points[arrows.head])), atol=1e-6)
        assert np.allclose(many[t], sample_patterns(D.points, z[:, t], arrows), atol=1e-6)
    u = leading_directions(D.points, arrows, D)
    value, vector = np.linalg.eigh(diff - same)
    assert u.shape == (classes - 1, 8) and np.isclose(abs(u[0] @ vector[:, -1]), 1)


@pytest.mark.parametrize("sizes", [(5, 5), (4, 9)])
def test_with_z_the_class_it_is_students_test(sizes):
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], sizes)
    values = rng.normal(size=(len(labels), 6))  # h for two classes, by hand: mean and opposite mean
    other = np.where(labels[:, None] == 0, values[labels == 1].mean(axis=0), values[labels == 0].mean(axis=0))
    h = (values - other) * np.where(labels == 1, 1, -1)[:, None]
    t, free = moderated_t(donor_means(h, labels, np.arange(len(labels))))
    assert np.allclose(t, ttest_ind(values[labels == 1], values[labels == 0]).statistic)
    assert free == len(labels) - 2
    many = np.repeat(h, 3, axis=0), np.repeat(labels, 3), np.repeat(np.arange(len(labels)), 3)
    twice = moderated_t(donor_means(*many))
    assert np.allclose(twice[0], t) and twice[1] == free  # samples of one donor count once
    if sizes[0] == sizes[1]:
        t, free = moderated_t(donor_means(h, labels, np.tile(np.arange(5), 2)))
        assert np.allclose(t, ttest_rel(values[5:], values[:5]).statistic) and free == 4


def test_features_lend_each_other_errors_but_not_a_few_of_them():
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], 3)
    values = np.sqrt(6 / rng.chisquare(6, size=5000)) * rng.normal(size=(6, 5000))  # d_0 = 6, s_0 = 1
    other = np.where(labels[:, None] == 0, values[labels == 1].mean(axis=0), values[labels == 0].mean(axis=0))
    means = donor_means((values - other) * np.where(labels == 1, 1, -1)[:, None], labels, np.arange(6))
    t, free = moderated_t(means)
    assert abs(free - 10) < 1.5 and kstest(t, "t", (free,)).pvalue > 0.01
    assert kstest(t, "t", (4,)).pvalue < 1e-3  # which is not Student's with the donors' own degrees
    few = moderated_t(means._replace(mean=means.mean[:49], square=means.square[:49]))
    assert few[1] == 4 and np.allclose(few[0], means.mean[:49] / np.sqrt(means.square[:49]))


def test_units_order_and_storage_do_not_matter():
    D, W = simulated(2), np.random.default_rng(1).normal(size=(2, 8))
    found = feature_patterns(D, W, n_jobs=1)
    unit = np.array([1, 10, 0.1, 1, 1, 100, 1, 1.0])
    scaled = Distributions(D.points * unit, D.sample, D.labels)
    assert np.allclose(feature_patterns(scaled, W / unit, n_jobs=1).overall, found.overall, rtol=1e-2)
    thin = Distributions(sparse.csr_array(D.points), D.sample, D.labels)
    assert np.allclose(feature_patterns(thin, W, n_jobs=1).axes, found.axes, rtol=1e-3, atol=1e-3)
    turned = feature_patterns(D, np.array([[0.6, 0.8], [-0.8, 0.6]]) @ W, n_jobs=1)
    assert np.allclose(turned.overall, found.overall, rtol=1e-6, atol=1e-6)
    assert np.allclose(turned.p_value, found.p_value) and not np.allclose(turned.axes, found.axes)


def test_what_differs_is_found_and_what_is_constant_is_not():
    D = simulated(3, d=8)
    D.points[:, 5] = 3.0
    found = feature_patterns(D, np.eye(8), n_jobs=1)
    assert found.overall.argmax() == 0 == found.p_value.argmin() and found.p_value[0] < 1e-6
    assert found.overall[5] == 0 and found.p_value[5] == 1 and found.axes.shape == (8, 8)


def test_partners_are_of_one_batch_where_batches_are_known():
    batches = np.repeat(["x", "y"], 6)
    D = simulated(2)
    D.batches = batches
    i, j = np.triu_indices(12, 1)
    weight = partner_weights(D, np.column_stack([i, j]))
    assert (weight[:6, 6:] == 0).all() and np.allclose(weight.sum(axis=1), 0) and (weight[:6, :6] != 0).sum() == 30
    D.batches = np.where(D.labels == 0, "x", "y")  # no pair of two classes within a batch
    assert not partner_weights(D, np.column_stack([i, j])).any()


def test_no_degrees_of_freedom_no_p():
    D = simulated(2, per_class=2, groups=["a", "b", "a", "b"])  # one donor of each kind
    found = feature_patterns(D, np.eye(8), n_jobs=1)
    assert (found.p_value == 1).all() and np.isfinite(found.overall).all()


def test_a_class_that_is_absent_changes_nothing():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(10, 4)) + 1.5 * (i % 2) * np.eye(4)[0] for i in range(12)]
    with_gap = Distributions.from_list(clouds, [0, 2] * 6, class_names=["a", "b", "c"])
    plain = Distributions.from_list(clouds, ["a", "c"] * 6)
    for found, want in zip(*(feature_patterns(data, np.eye(4)) for data in (with_gap, plain))):
        assert np.allclose(found, want)


def test_some_points_decide_on_the_axes_of_many():
    rng = np.random.default_rng(0)
    low = rng.normal(size=(240, 10)) @ rng.normal(size=(10, 60))  # any hundred points span what all of them do
    D = Distributions(low, np.repeat(np.arange(8), 30), np.arange(8) % 2)
    few, whole = (plain_plans(D.points, D, n_jobs=1, rows=rows) for rows in (100, 10_000))
    assert (few.pairs == whole.pairs).all() and np.allclose(few.cost, whole.cost, rtol=1e-3)


def test_scatters_are_summed_over_blocks(monkeypatch):
    D = simulated(2)
    plans, B = plain_plans(D.points, D, n_jobs=1), D.points.astype(float)
    whole = both_scatters(B, plans, D.labels)
    monkeypatch.setattr(fisher, "row_blocks", lambda B: [slice(i, i + 7) for i in range(0, len(B), 7)])
    assert np.allclose(both_scatters(B, plans, D.labels), whole, rtol=1e-10)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("d", [8, 70])  # all features, or the fifty principal axes of the points over their scale
def test_points_are_matched_over_their_scale_and_arrows_summed_in_blocks(kind, d):
    rng = np.random.default_rng(0)
    X, inverse = rng.normal(size=(120, d)), 10.0 ** rng.integers(-2, 3, size=d)
    D = Distributions(X, np.repeat(np.arange(8), 15), np.arange(8) % 2)
    apart, whole = (plain_plans(kind(x), D, n_jobs=1, inverse=i) for x, i in ((X, inverse), (X * inverse, None)))
    assert np.allclose(apart.cost, whole.cost, rtol=1e-4)
    assert not np.allclose(apart.cost, plain_plans(kind(X), D, n_jobs=1).cost, rtol=0.1)
    arrows = signed_arrows(whole)
    parts = leading_directions(X, arrows, D, most=len(arrows.mass) // 3)
    assert np.allclose(parts, leading_directions(X, arrows, D), atol=1e-8)
