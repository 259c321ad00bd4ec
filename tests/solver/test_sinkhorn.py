"""Entropic transport against the exact engine: every cost within its certified gap."""

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_nb import Distributions, PairwiseTransport
from ggml_nb.solver.sinkhorn import SinkhornTransport, batches, blurred_plan, round_plan, sinkhorn

devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def data(seed, sizes=(1, 7, 40, 40, 25), d=4):
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(size=(s, d)) + rng.normal(size=d) for s in sizes]
    weights = rng.random(sum(sizes)) ** 3 + 1e-9
    return Distributions.from_list(clouds, np.arange(len(sizes)) % 2, weights=weights), rng.normal(size=(2, d)), rng


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_true_cost_lies_in_the_bracket(seed):
    D, W, _ = data(seed)
    blurred, exact = SinkhornTransport(D, n_jobs=1), PairwiseTransport(D, tol=1e-9)
    for scale in (1, 1.02, 30, 1e-3):  # warm, and warm after a jump of W
        cost, truth = blurred.solve(scale * W), exact.solve(scale * W)
        assert (cost >= truth * (1 - 1e-9)).all()
        assert (cost * (1 - blurred.gaps) <= truth * (1 + 1e-9)).all()


@pytest.mark.parametrize("device", devices)
def test_blur_is_small_and_the_gradient_near(device):
    D, W, rng = data(1, sizes=(60, 80, 70, 60))
    blurred, exact = SinkhornTransport(D, device=device), PairwiseTransport(D, tol=1e-9)
    cost, truth, weights = blurred.solve(W), exact.solve(W), rng.normal(size=6)
    assert np.abs(cost / truth - 1).max() < 0.1 and blurred.gaps.max() < 0.1 and blurred.converged.all()
    assert np.abs(blurred.plan_costs / truth - 1).max() < 0.02 and (blurred.plan_costs >= truth * (1 - 1e-9)).all()
    assert (blurred.plan_costs <= cost).all()  # entropy is not negative
    grad, exact_grad = blurred.grad(weights), exact.grad(weights)
    assert np.linalg.norm(grad - exact_grad) < 0.1 * np.linalg.norm(exact_grad)
    which = np.array([4, 0])
    some = blurred.solve_embedded(D.points.astype(float) @ W.T, which)
    assert np.allclose(some, cost[which], rtol=0.01)
    assert blurred.grad_embedded(np.ones(2)).shape == (270, 2)


def test_coupling_has_the_masses_of_the_points():
    D, W, _ = data(2)
    transport = SinkhornTransport(D, [[2, 3]])
    transport.solve(W)
    sums = transport.coupling([1.0]).sum(axis=1)
    assert np.allclose(sums, np.where(np.isin(D.sample, [2, 3]), D.weights, 0), atol=1e-9)


def test_plan_equals_pot():
    rng = np.random.default_rng(0)
    C, a, b = rng.random((20, 30)), rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(30))
    K, log_a, log_b = torch.tensor(C), torch.tensor(a).log(), torch.tensor(b).log()
    epsilon = torch.full((1, 1), 0.05, dtype=torch.float64)
    g, error, _ = sinkhorn(K, log_a, log_b, torch.zeros(30).double(), epsilon, 1e-12, max_iter=10_000)
    assert error <= 1e-12
    plan = blurred_plan(K, log_a, log_b, g, epsilon)
    oracle = ot.sinkhorn(a, b, C, 0.05, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000)
    assert np.abs(plan.numpy() - oracle).max() < 1e-10


def test_value_and_cost_equal_pot():
    D, W, _ = data(3, sizes=(20, 30))
    transport = SinkhornTransport(D, tol=1e-10, epsilon=0.3)
    value, Z = transport.solve(W)[0], D.points.astype(float) @ W.T
    a, b = D.weights[D.rows(0)], D.weights[D.rows(1)]
    C = ot.dist(Z[D.rows(0)], Z[D.rows(1)], "euclidean")
    plan = ot.sinkhorn(a, b, C, 0.3, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000)
    entropy = np.sum(plan * np.log(plan / np.outer(a, b)))
    assert value == pytest.approx((plan * C).sum() + 0.3 * entropy, rel=1e-7)
    assert transport.plan_costs[0] == pytest.approx((plan * C).sum(), rel=1e-7)
    assert np.abs(transport.plan(0).toarray() - plan).max() < 1e-8
    f, g = transport.potentials(0)
    proof = transport.certificate(0)
    assert (f[:, None] + g <= C + 1e-14).all() and proof.dual <= ot.emd2(a, b, C) <= proof.primal


@pytest.mark.parametrize("how", [{"epsilon": 0.2}, {"relative_epsilon": 0.05}, {"epsilon": 1.0, "p": 2}])
def test_gradient_is_that_of_the_value(how):
    D, W, rng = data(4)
    transport, weights = SinkhornTransport(D, tol=1e-11, n_jobs=1, **how), rng.normal(size=10)
    transport.solve(W)
    grad, h = transport.grad(weights), 1e-5
    for _ in range(3):
        move = rng.normal(size=W.shape)
        numeric = weights @ (transport.solve(W + h * move) - transport.solve(W - h * move)) / (2 * h)
        assert numeric == pytest.approx((grad * move).sum(), rel=1e-5, abs=1e-6)


def test_what_has_not_converged_says_so():
    D, W, _ = data(5)
    transport = SinkhornTransport(D, tol=1e-13, relative_epsilon=1e-4, max_iter=300)
    cost = transport.solve(W)
    assert not transport.converged.all()
    exact = PairwiseTransport(D, tol=1e-9).solve(W)
    assert (cost >= exact * (1 - 1e-9)).all() and (cost * (1 - transport.gaps) <= exact * (1 + 1e-9)).all()


def test_rounding_makes_any_plan_feasible():
    rng = np.random.default_rng(0)
    plan = torch.tensor(rng.random((3, 5, 8)))
    a, b = torch.tensor(rng.dirichlet(np.ones(5), 3)), torch.tensor(rng.dirichlet(np.ones(8), 3))
    a[0, 0], a[0, 1] = 0, a[0, 0] + a[0, 1]
    done = round_plan(plan, a, b)
    assert (done >= 0).all() and torch.allclose(done.sum(2), a) and torch.allclose(done.sum(1), b)


def test_batches_hold_every_pair_once():
    shapes = np.random.default_rng(0).integers(1, 500, (200, 2))
    groups = batches(shapes, 10**5)
    assert np.array_equal(np.sort(np.concatenate(groups)), np.arange(200))
    assert all(len(g) == 1 or len(g) * shapes[g].max(axis=0).prod() <= 10**5 for g in groups)
    assert batches(np.empty((0, 2), int), 100) == []


def test_degenerate_clouds():
    D = Distributions.from_list([np.ones((3, 2)), np.ones((5, 2)), np.zeros((1, 2))], [0, 0, 1])
    transport = SinkhornTransport(D)
    assert np.allclose(transport.solve(np.eye(2)), [0, 2**0.5, 2**0.5]) and np.isfinite(transport.gaps).all()
    assert np.isfinite(transport.grad(np.ones(3))).all()
    assert not transport.solve(np.zeros((2, 2))).any() and not transport.grad(np.ones(3)).any()
    assert len(transport.solve(np.eye(2), [])) == 0


def test_errors():
    D, W, _ = data(0)
    with pytest.raises(ValueError, match="device must be"):
        SinkhornTransport(D, device="tpu")
    for wrong in ({"epsilon": 0}, {"epsilon": -1.0}, {"relative_epsilon": 0}):
        with pytest.raises(ValueError, match="epsilon must be positive"):
            SinkhornTransport(D, **wrong)
    with pytest.raises(RuntimeError, match="call solve first"):
        SinkhornTransport(D).grad(np.ones(10))
    with pytest.raises(RuntimeError, match="call solve first"):
        SinkhornTransport(D).coupling(np.ones(10))
    transport = SinkhornTransport(D)
    transport.solve(W)
    with pytest.raises(ValueError, match="one per pair of the last solve"):
        transport.grad(np.ones(3))
