"""Optimal transport against POT and SciPy, and the axioms of a distance."""

import multiprocessing

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import cpu_count
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ggml_nb import Distributions, PairwiseTransport, pairwise_wasserstein, project, wasserstein
from ggml_nb.solver.pairs import threads_of

seeds = st.integers(0, 10**6)
quick = settings(max_examples=25, deadline=None)


def cloud(rng, n=None, d=3):
    n = n or int(rng.integers(1, 12))
    points = rng.normal(size=(n, d))
    if rng.random() < 0.3:
        points[rng.integers(n)] = points[0]  # duplicates
    weights = rng.random(n) + 1e-3
    return points, weights / weights.sum()


def ragged(seed, csr=False, d=5):
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(size=(s, d)) * (rng.random((s, d)) < 0.6) for s in (1, 4, 9, 9, 25)]
    clouds[3][2:5] = clouds[3][1]
    weights = rng.random(48) ** 4 + 1e-6
    clouds = [sparse.csr_matrix(c) for c in clouds] if csr else clouds
    return Distributions.from_list(clouds, [0, 1, 0, 1, 0], weights=weights), rng.normal(size=(3, d))


@given(seeds)
@quick
def test_wasserstein_is_a_metric(seed):
    rng = np.random.default_rng(seed)
    (P, a), (Q, b), (R, c) = (cloud(rng) for _ in range(3))
    pq, qr, pr = wasserstein(P, Q, a, b).cost, wasserstein(Q, R, b, c).cost, wasserstein(P, R, a, c).cost
    assert pq == pytest.approx(wasserstein(Q, P, b, a).cost, rel=1e-9)
    assert pr <= pq + qr + 1e-9
    assert wasserstein(P, P, a, a).cost == pytest.approx(0, abs=1e-12)


@given(seeds)
@quick
def test_wasserstein_moves_with_its_points(seed):
    rng = np.random.default_rng(seed)
    (P, a), (Q, b) = cloud(rng), cloud(rng)
    cost, shift = wasserstein(P, Q, a, b).cost, rng.normal(size=3)
    assert wasserstein(P + shift, Q + shift, a, b).cost == pytest.approx(cost, rel=1e-9)
    assert wasserstein(P, P + shift, a, a).cost == pytest.approx(np.linalg.norm(shift), rel=1e-9)
    assert wasserstein(3 * P, 3 * Q, a, b).cost == pytest.approx(3 * cost, rel=1e-9)
    order = rng.permutation(len(P))
    assert wasserstein(P[order], Q, a[order], b).cost == pytest.approx(cost, rel=1e-9)
    # splitting a point into two halves changes nothing
    assert wasserstein(np.r_[P, P[:1]], Q, np.r_[a[0] / 2, a[1:], a[0] / 2], b).cost == pytest.approx(cost, rel=1e-9)


@given(seeds)
@quick
def test_result_proves_itself(seed):
    rng = np.random.default_rng(seed)
    (P, a), (Q, b) = cloud(rng), cloud(rng)
    result, C = wasserstein(P, Q, a, b), cdist(P, Q)
    f, g = result.potentials
    assert result.cost == pytest.approx(ot.emd2(a, b, C), rel=1e-9, abs=1e-12)
    assert (f[:, None] + g <= C + 1e-9).all()
    assert a @ f + b @ g == pytest.approx(result.cost, rel=1e-8, abs=1e-9)
    plan = result.plan.toarray()
    assert np.allclose(plan.sum(1), a) and np.allclose(plan.sum(0), b)
    assert result.plan.nnz <= len(P) + len(Q) - 1 and result.gap <= 1e-8


def test_uniform_clouds_of_one_size_are_an_assignment():
    rng = np.random.default_rng(0)
    P, Q = rng.normal(size=(2, 40, 3))
    C = cdist(P, Q)
    assert wasserstein(P, Q).cost == pytest.approx(C[linear_sum_assignment(C)].mean(), rel=1e-10)


@pytest.mark.parametrize("csr", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_equal_pot(seed, csr):
    D, W = ragged(seed, csr)
    transport = PairwiseTransport(D, tol=1e-9)
    costs = transport.solve(W)
    oracle = [
        ot.emd2(D.weights[D.rows(i)], D.weights[D.rows(j)], cdist(project(D[i], W), project(D[j], W)))
        for i, j in transport.pairs
    ]
    assert np.allclose(costs, oracle, rtol=1e-8, atol=0)
    assert (transport.gaps <= 1e-9).all()
    full = pairwise_wasserstein(D, W)
    assert np.array_equal(full, full.T) and not full.diagonal().any()
    assert np.allclose(full[tuple(transport.pairs.T)], oracle, rtol=1e-8)


@pytest.mark.parametrize("csr", [False, True])
def test_gradient_equals_finite_differences(csr):
    D, W = ragged(7, csr)
    transport = PairwiseTransport(D, tol=1e-9)
    weights = np.random.default_rng(1).normal(size=len(transport.pairs))
    transport.solve(W)
    grad, numeric, h = transport.grad(weights), np.zeros_like(W), 1e-5
    for at in np.ndindex(*W.shape):
        step = np.zeros_like(W)
        step[at] = h
        numeric[at] = weights @ (transport.solve(W + step) - transport.solve(W - step)) / (2 * h)
    assert np.abs(grad - numeric).max() <= 1e-4 * np.abs(numeric).max()


def test_threads_change_nothing():
    D, W = ragged(2)
    one, two = PairwiseTransport(D, n_jobs=1), PairwiseTransport(D, n_jobs=2)
    assert np.array_equal(one.solve(W), two.solve(W))
    assert np.array_equal(one.grad(one.gaps * 0 + 1), two.grad(two.gaps * 0 + 1))


def test_a_child_process_has_the_threads_that_it_asks_for():
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        assert pool.map(threads_of, [2, 1, -1, -1000]) == [2, 1, cpu_count(), 1]


def test_coinciding_clouds_and_zero_map():
    D = Distributions.from_list([np.ones((3, 2)), np.ones((5, 2)), np.zeros((1, 2))], [0, 0, 1])
    transport = PairwiseTransport(D)
    assert transport.solve(np.eye(2))[0] == 0
    assert np.isfinite(transport.grad(np.ones(3))).all()
    assert not transport.solve(np.zeros((2, 2))).any() and not transport.gaps.any()
    assert not transport.grad(np.ones(3)).any()


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_named_metrics_dense_and_sparse_agree(metric):
    (dense, _), (csr, _) = ragged(4, False), ragged(4, True)
    assert np.allclose(pairwise_wasserstein(dense, metric=metric), pairwise_wasserstein(csr, metric=metric), atol=1e-6)


def test_errors():
    D, W = ragged(0)
    with pytest.raises(ValueError, match="W has 2 columns"):
        PairwiseTransport(D).solve(np.ones((1, 2)))
    with pytest.raises(ValueError, match="pairs must index the 5"):
        PairwiseTransport(D, [[0, 5]])
    with pytest.raises(ValueError, match="tol is a relative gap"):
        PairwiseTransport(D, tol=0)
    with pytest.raises(RuntimeError, match="call solve first"):
        PairwiseTransport(D).grad(np.ones(10))
    with pytest.raises(ValueError, match="same number of features"):
        wasserstein(np.ones((2, 2)), np.ones((2, 3)))
