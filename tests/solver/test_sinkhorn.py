"""Entropic transport against the exact engine: every cost within its certified gap."""

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ggml_nb import Distributions, PairwiseTransport
from ggml_nb.solver.sinkhorn import SinkhornTransport, batches, blurred_plan, round_plan, schedule, sinkhorn

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
    assert np.abs(cost / truth - 1).max() < 0.05 and blurred.gaps.max() < 0.1
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
    g, _ = sinkhorn(K, log_a, log_b, torch.zeros(30).double(), schedule(0.05), 1e-12, max_iter=10_000)
    plan = blurred_plan(K, log_a, log_b, g, 0.05)
    oracle = ot.sinkhorn(a, b, C, 0.05, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000)
    assert np.abs(plan.numpy() - oracle).max() < 1e-10


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
    with pytest.raises(ValueError, match="epsilon must lie"):
        SinkhornTransport(D, epsilon=2)
    with pytest.raises(RuntimeError, match="call solve first"):
        SinkhornTransport(D).grad(np.ones(10))
    with pytest.raises(RuntimeError, match="call solve first"):
        SinkhornTransport(D).coupling(np.ones(10))
    transport = SinkhornTransport(D)
    transport.solve(W)
    with pytest.raises(ValueError, match="one per pair of the last solve"):
        transport.grad(np.ones(3))
