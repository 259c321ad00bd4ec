"Points count by their masses in what a fit measures before it transports: padding is nothing, and a little is little."

from math import fsum

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.stats import moment

from ggml_nb import GGML, Distributions, feature_patterns, make_distributions
from ggml_nb.estimator.scale import feature_means, feature_moments, feature_scale, point_masses
from ggml_nb.estimator.start import lean_on_plain, spectral_start

DATA = make_distributions(5, n_per_class=4, n_points=8, noise_scale=3, seed=0)


def padded(mass, pads=(3, 6, 9)):
    "The clouds with some points far away beside them, more or fewer."
    clouds = [np.vstack([DATA[i], np.full((pads[i % 3], 5), 300.0)]) for i in range(12)]
    weights = [np.where(np.arange(len(cloud)) < 24, 1, mass) for cloud in clouds]
    return Distributions.from_list(clouds, list(DATA.classes), weights=weights)


def test_equal_masses_are_not_weighed():
    ragged = DATA.take(np.flatnonzero(np.arange(len(DATA.sample)) % 30 > 3))
    assert point_masses(DATA) is None and point_masses(ragged) is None


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_weighted_moments_are_those_of_the_points_that_the_masses_stand_for(kind):
    rng = np.random.default_rng(0)
    times = np.repeat(rng.integers(0, 5, (1, 40)), 6, axis=0).ravel()  # each cloud counts the same
    points = rng.poisson(1.0, (240, 4)) * rng.random((240, 4))
    D = Distributions(points, np.arange(240) // 40, range(6), weights=times)
    mass, listed = point_masses(D), np.repeat(points, times, axis=0)
    oracles = listed.mean(0), listed.var(0), moment(listed, 8) ** (1 / 8)
    for found, oracle in zip(feature_moments(kind(points), mass), oracles):
        np.testing.assert_allclose(found, oracle, rtol=1e-9)
    np.testing.assert_allclose(feature_scale(points, mass), feature_scale(listed), rtol=1e-9)


def test_little_mass_changes_a_fit_little():
    none, little = (GGML(rank=1, random_state=0, max_epochs=2).fit(padded(mass)) for mass in (0, 1e-20))
    for name in ("scale_", "mean_"):
        np.testing.assert_allclose(getattr(little, name), getattr(none, name), rtol=1e-3)
    direction = [m.components_[0] / np.linalg.norm(m.components_) for m in (none, little)]
    assert abs(direction[0] @ direction[1]) > 0.99
    W, D = none.components_, padded(1e-20)
    leaning = lean_on_plain(W, np.eye(5), D.points, 0.2, point_masses(D))
    np.testing.assert_allclose(leaning, lean_on_plain(W, np.eye(5), DATA.points, 0.2), rtol=1e-6)


def test_padding_is_no_point_of_a_pattern_a_start_or_a_network():
    W = np.eye(2, 5)
    for one, two in zip(feature_patterns(padded(0), W), feature_patterns(DATA, W)):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(spectral_start(padded(0)).frame, spectral_start(DATA).frame, atol=1e-9)
    net = torch.nn.Linear(5, 2)
    centers = [GGML(metric=net, max_epochs=1).fit(padded(mass)).input_center_ for mass in (0, 1e-20)]
    np.testing.assert_allclose(*centers, rtol=1e-3)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_a_pattern_does_not_depend_on_the_size_of_w(size):
    W = np.random.default_rng(0).normal(size=(2, 5))
    np.testing.assert_allclose(feature_patterns(DATA, W * size).overall, feature_patterns(DATA, W).overall, rtol=1e-9)


@pytest.mark.parametrize("wrong", [None, [DATA[0]], DATA.points])
def test_patterns_are_of_distributions(wrong):
    with pytest.raises(TypeError, match="distributions must be a Distributions"):
        feature_patterns(wrong, np.eye(5))


def test_the_mean_of_many_points_far_from_zero_keeps_its_digits():
    "Summed in float32, 60,000 times stand two standard deviations off, and so would new data without that feature."
    rng = np.random.default_rng(0)
    points = np.float32(np.c_[20000 + rng.normal(size=60000), rng.normal(size=60000)])
    assert np.allclose(feature_means(points), [fsum(x.tolist()) / 60000 for x in points.T], rtol=1e-12)
