"Tables of distances between some clouds and some others: each pair once, few distances that nobody asked for."

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

from ggml_nb import Distributions, pair_costs
from ggml_nb.method.transport import solve_dense
from ggml_nb.solver import pairs as module
from ggml_nb.solver.pairs import all_pairs, tiles


def asked(n, kind, rng):
    pairs = all_pairs(n)
    if kind == "some":
        pairs = pairs[rng.permutation(len(pairs))[: n // 2]]
    if kind == "either order, twice":
        pairs = np.concatenate([pairs, pairs[::-1, ::-1], pairs[:3]])
    return pairs


@pytest.mark.parametrize("kind", ["all", "some", "either order, twice"])
@pytest.mark.parametrize(
    "n, points, d, stored",
    [(2, 5, 3, 3), (40, 30, 2, 2), (60, 200, 2000, 2000), (60, 200, 2000, 0), (9, 3000, 50, 50), (5, 10, 10**7, 10**7)],
)
def test_each_pair_is_in_one_tile_of_limited_size(n, points, d, stored, kind):
    rng = np.random.default_rng(n)
    size, pairs = rng.integers(1, 2 * points, size=n), asked(n, kind, rng)
    empty = sparse.csr_array((size.sum(), d)) if stored == 0 else np.broadcast_to(0.0, (size.sum(), d))
    data = SimpleNamespace(points=empty, d=d, offsets=np.append(0, np.cumsum(size)))
    found = tiles(data, pairs)
    assert (np.sort(np.concatenate(found)) == np.arange(len(pairs))).all()
    for tile in found:
        first, second = (np.unique(clouds) for clouds in pairs[tile].T)
        assert len(first) <= 17 and len(second) <= 17
        assert len(first) == 1 or 2 * len(tile) >= len(first) * len(second)
        rows, columns = size[first], size[second]
        one_less = (rows.sum() - rows.max(), columns.sum() - columns.max())  # a cloud may cross the border
        assert one_less[0] * one_less[1] + sum(one_less) * stored <= module.TABLE


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("which", ["all", "some", "either order, twice"])
def test_costs_by_tiles_are_those_of_each_pair(monkeypatch, kind, which):
    rng = np.random.default_rng(0)
    size = rng.integers(1, 9, size=12)
    points, sample = rng.normal(size=(size.sum(), 4)), rng.permutation(np.repeat(np.arange(12), size))
    data = Distributions(kind(points), sample, [0, 1] * 6, weights=rng.uniform(0.5, 1, size.sum()))
    pairs, held = asked(12, which, rng), data.points  # in single precision
    dense = np.asarray(held.todense() if sparse.issparse(held) else held, dtype=float)
    monkeypatch.setattr(module, "TABLE", 150)  # tiles of some twelve points
    assert 1 < len(tiles(data, pairs)) <= len(pairs) - 2 * (which != "some")
    found = pair_costs(data, pairs, n_jobs=2)
    for cost, (i, j) in zip(found, pairs):
        P, Q = data.rows(i), data.rows(j)
        a, b = data.weights[P], data.weights[Q]
        assert cost == pytest.approx(solve_dense(cdist(dense[P], dense[Q]), a, b).cost, rel=1e-9)
