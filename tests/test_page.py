"""Every replacement is held to the page: lesson 17 with POT, and with the engine in POT's place."""

import numpy as np
import ot
import pytest
import torch
from scipy import sparse

from ggml_nb import Distributions, PairwiseTransport, train_ggml, transport_cost
from ggml_nb.method.training import pot_costs
from ggml_nb.solver.sinkhorn import SinkhornTransport

LABELS = np.repeat([0, 1, 2], 4)


def clouds(kind):
    rng = np.random.default_rng(1)
    sizes = rng.integers(8, 20, len(LABELS)) if kind == "ragged" else np.full(len(LABELS), 15)
    points = [rng.normal(size=(n, 5)) + 2 * c * (np.arange(5) == 3) for n, c in zip(sizes, LABELS)]
    weights = rng.random(sizes.sum()) + 0.1 if kind == "weighted" else None
    if kind == "sparse":
        points = [sparse.csr_matrix(np.where(p > 0.5, p, 0)) for p in points]
    return Distributions.from_list(points, LABELS, weights=weights)


def engine(data, tol=1e-9):
    return PairwiseTransport(data, tol=tol, n_jobs=1)


@pytest.mark.parametrize("kind", ["uniform", "ragged", "weighted", "sparse"])
def test_the_engine_learns_what_the_page_learns(kind):
    data = clouds(kind)
    how = {"rank": 2, "margin": 1, "epochs": 10, "n_neighbors": 3}
    page, ours = (train_ggml(data, costs=costs, **how) for costs in (None, engine(data)))
    np.testing.assert_allclose(ours, page, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["uniform", "ragged", "weighted"])
def test_costs_and_gradients_are_the_pages(kind):
    data, pairs = clouds(kind), np.array([[0, 5], [2, 3], [1, 11]])
    Z = torch.from_numpy(np.random.default_rng(0).normal(size=(len(data.sample), 2)))
    found = []
    for costs in (pot_costs(data), engine(data)):
        z = Z.clone().requires_grad_()
        cost = costs(z, pairs)
        (cost * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)).sum().backward()
        found.append((cost.detach().numpy(), z.grad.numpy()))
    for page, ours in zip(*found):
        np.testing.assert_allclose(ours, page, rtol=1e-9, atol=1e-12)


def test_each_forward_keeps_its_own_plans():
    data = clouds("ragged")
    Z = torch.from_numpy(np.random.default_rng(2).normal(size=(len(data.sample), 2))).requires_grad_()
    for solver in (engine(data), SinkhornTransport(data, relative_epsilon=0.05)):
        one = torch.autograd.grad(transport_cost(Z, solver, [0, 3]).sum(), Z)[0]
        first = transport_cost(Z, solver, [0, 3]).sum()
        transport_cost(5 * Z.flip(0), solver).sum()  # the solver has moved on
        two = torch.autograd.grad(first, Z)[0]
        np.testing.assert_allclose(two, one, rtol=1e-3, atol=1e-5 if solver.tol == 1e-9 else 1e-2)


def test_the_operation_passes_gradcheck_and_is_differentiated_once():
    data = clouds("uniform").subset([0, 1, 5])
    solver = engine(data)
    Z = torch.from_numpy(np.random.default_rng(3).normal(size=(45, 2))).requires_grad_()
    assert torch.autograd.gradcheck(lambda Z: transport_cost(Z, solver), Z)
    (grad,) = torch.autograd.grad((transport_cost(Z, solver) ** 2).sum(), Z, create_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        grad.sum().backward()
    with pytest.raises(ValueError, match="Z must have a row for each of 45 points"):
        transport_cost(Z[:3], solver)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_the_operation_passes_gradcheck_for_every_power(p):
    data = clouds("weighted").subset([0, 1, 5])
    solver = PairwiseTransport(data, tol=1e-10, n_jobs=1, p=p)
    Z = torch.from_numpy(np.random.default_rng(3).normal(size=(45, 2))).requires_grad_()
    assert torch.autograd.gradcheck(lambda Z: transport_cost(Z, solver), Z)
    assert torch.autograd.gradcheck(lambda Z: transport_cost(Z, solver, [2, 0]) ** (1 / p), Z)  # W_p itself


@pytest.mark.parametrize("p", [1, 2])
def test_a_network_trained_by_the_operation_is_the_one_trained_by_pot(p):
    data = clouds("ragged")
    pairs, X = np.transpose(np.triu_indices(6, 1)), torch.from_numpy(data.points.astype(np.float64))
    weights = [torch.from_numpy(data.weights[data.rows(i)]) for i in range(6)]

    def by_pot(Z):
        Z = [Z[data.rows(i)] for i in range(6)]
        how = {"compute_mode": "donot_use_mm_for_euclid_dist"}
        return torch.stack([ot.emd2(weights[i], weights[j], torch.cdist(Z[i], Z[j], **how) ** p) for i, j in pairs])

    solver, found = PairwiseTransport(data, pairs, tol=1e-9, n_jobs=1, p=p), []
    for costs in (lambda Z: transport_cost(Z, solver), by_pot):
        torch.manual_seed(0)
        layers = [torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)]
        network = torch.nn.Sequential(*layers).double()
        adam = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(10):
            adam.zero_grad()
            torch.logsumexp(costs(network(X)) * torch.linspace(-1, 1, len(pairs)).double(), 0).backward()
            adam.step()
        found.append(torch.cat([w.flatten() for w in network.parameters()]).detach())
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)


def test_dask_learns_what_the_page_learns():
    distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'ggml_nb[dask]'")
    from ggml_nb.solver.cluster import DaskTransport

    data, how = clouds("weighted"), {"rank": 2, "margin": 1, "epochs": 3, "n_neighbors": 2}
    options = dict(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0")
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        solver = DaskTransport(data, tol=1e-9)
        ours = train_ggml(data, costs=solver, **how)
        Z = torch.from_numpy(np.random.default_rng(2).normal(size=(len(data.sample), 2))).requires_grad_()
        one = torch.autograd.grad(transport_cost(Z, solver, [0, 3]).sum(), Z)[0]
        first = transport_cost(Z, solver, [0, 3]).sum()
        transport_cost(-Z, solver)
        np.testing.assert_allclose(torch.autograd.grad(first, Z)[0], one, atol=1e-6)
    np.testing.assert_allclose(ours, train_ggml(data, **how), rtol=0, atol=1e-9)


def test_a_second_derivative_is_never_silently_zero():
    data = clouds("uniform").subset([0, 1, 5])
    Z = torch.from_numpy(np.random.default_rng(3).normal(size=(45, 2))).requires_grad_()
    (grad,) = torch.autograd.grad(transport_cost(Z, engine(data)).sum(), Z, create_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        torch.autograd.grad((Z**2).sum() + (grad**2).sum(), Z)
    for wrong in (Z.detach().int(), Z.detach().half(), Z.detach().numpy()):
        with pytest.raises(TypeError, match="tensor of float32 or float64"):
            transport_cost(wrong, engine(data))
