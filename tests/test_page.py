"""Every replacement is held to the page: lesson 17 with POT, and with the engine in POT's place."""

import numpy as np
import pytest
import torch
from scipy import sparse

from ggml_nb import Distributions, PairwiseTransport, train_ggml
from ggml_nb.method.training import pot_costs
from ggml_nb.method.transport import pair_index

LABELS = np.repeat([0, 1, 2], 4)


def clouds(kind):
    rng = np.random.default_rng(1)
    sizes = rng.integers(8, 20, len(LABELS)) if kind == "ragged" else np.full(len(LABELS), 15)
    points = [rng.normal(size=(n, 5)) + 2 * c * (np.arange(5) == 3) for n, c in zip(sizes, LABELS)]
    weights = rng.random(sizes.sum()) + 0.1 if kind == "weighted" else None
    if kind == "sparse":
        points = [sparse.csr_matrix(np.where(p > 0.5, p, 0)) for p in points]
    return Distributions.from_list(points, LABELS, weights=weights)


class Cost(torch.autograd.Function):
    "Costs of an engine, with their gradient by the envelope theorem."

    @staticmethod
    def forward(ctx, Z, engine, which):
        ctx.engine, ctx.which = engine, which
        return torch.from_numpy(engine.solve_embedded(Z.detach().numpy(), which))

    @staticmethod
    def backward(ctx, weights):
        assert np.array_equal(ctx.engine.which, ctx.which)
        return torch.from_numpy(ctx.engine.grad_embedded(weights.numpy())), None, None


def engine_costs(data, tol=1e-9):
    engine = PairwiseTransport(data, tol=tol, n_jobs=1)
    return lambda Z, pairs: Cost.apply(Z, engine, pair_index(pairs, len(data)))


@pytest.mark.parametrize("kind", ["uniform", "ragged", "weighted", "sparse"])
def test_the_engine_learns_what_the_page_learns(kind):
    data = clouds(kind)
    how = {"rank": 2, "margin": 1, "epochs": 10, "n_neighbors": 3}
    page, engine = (train_ggml(data, costs=costs, **how) for costs in (None, engine_costs(data)))
    np.testing.assert_allclose(engine, page, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["uniform", "ragged", "weighted"])
def test_costs_and_gradients_are_the_pages(kind):
    data, pairs = clouds(kind), np.array([[0, 5], [2, 3], [1, 11]])
    Z = torch.from_numpy(np.random.default_rng(0).normal(size=(len(data.sample), 2)))
    found = []
    for costs in (pot_costs(data), engine_costs(data)):
        z = Z.clone().requires_grad_()
        cost = costs(z, pairs)
        (cost * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)).sum().backward()
        found.append((cost.detach().numpy(), z.grad.numpy()))
    for page, engine in zip(*found):
        np.testing.assert_allclose(engine, page, rtol=1e-9, atol=1e-12)
