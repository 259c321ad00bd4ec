"""Pairs of equal masses, pairs on a line and blocks of pairs, against POT and SciPy."""

import numpy as np
import ot
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ggml_nb import Distributions, PairwiseTransport
from ggml_nb.solver import assignment
from ggml_nb.solver import pairs as pairs_module
from ggml_nb.solver.assignment import LANES, assign
from ggml_nb.solver.pairs import embedded_costs, solve_pair
from ggml_nb.solver.warmstart import KEPT

CLOUDS = {
    "normal": lambda rng, n: rng.normal(size=(2, n, 3)),
    "grid": lambda rng, n: rng.integers(3, size=(2, n, 2)).astype(float),
    "one point": lambda rng, n: np.ones((2, n, 2)),
    "far apart": lambda rng, n: rng.normal(size=(2, n, 2)) + np.array([0, 1e6])[:, None, None],
    "hubs": lambda rng, n: rng.normal(size=(2, n, 50)) * np.exp(0.5 * rng.normal(size=(2, n, 1))),
    "many scales": lambda rng, n: rng.normal(size=(2, n, 2)) * 10.0 ** rng.integers(-8, 8, (2, n, 1)),
}


@pytest.mark.parametrize("kind", CLOUDS)
def test_assignment_equals_scipy_and_proves_it(kind):
    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 17, 64, 65, 130):
        C = cdist(*CLOUDS[kind](rng, n))
        wide = np.full((n, -(-n // LANES) * LANES), np.inf)
        wide[:, :n] = C
        f, g, column_of, row_of = assign(wide, wide.astype(np.float32))
        rows, columns = linear_sum_assignment(C)
        assert np.array_equal(row_of[column_of], rows)
        assert np.isclose(C[rows, column_of].sum(), C[rows, columns].sum(), rtol=1e-12, atol=1e-13 * C.max())
        reduced = C - f[:, None] - g[:n]
        assert reduced.min() >= -1e-13 * C.max() and abs(reduced[rows, column_of]).max() <= 1e-13 * C.max()


def test_prices_are_raised_in_a_war_and_only_there(monkeypatch):
    raised, usual = [], assignment.bid
    monkeypatch.setattr(assignment, "raised_prices", assignment.raised_prices.py_func)
    monkeypatch.setattr(assignment, "bid", lambda *args: raised.append(args[-1]) or usual(*args))
    rng = np.random.default_rng(6)
    for sigma, wanted in ((0.0, [0]), (1.0, [0, 1, 1, 1, 1, 0])):
        X, Y = rng.normal(size=(2, 128, 50)) * np.exp(sigma * rng.normal(size=(2, 128, 1)))
        C, (*_, column_of, _) = cdist(X, Y), assign.py_func(cdist(X, Y), np.empty((128, 128), np.float32))
        assert np.sign(raised).tolist() == wanted
        assert np.isclose(C[np.arange(128), column_of].sum(), C[linear_sum_assignment(C)].sum(), rtol=1e-12)
        raised.clear()


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("kind", CLOUDS)
def test_equal_clouds_equal_pot_and_start_warm(kind, p):
    rng = np.random.default_rng(1)
    for n in (2, 40, 100):
        X, Y = CLOUDS[kind](rng, n)
        if kind == "many scales":
            X, Y = np.log1p(abs(X)), np.log1p(abs(Y))  # POT stops short where costs span too many orders
        even, state = np.full(n, 1 / n), None
        for _ in range(3):
            C = cdist(X, Y) ** p
            truth = ot.emd2(even, even, C / max(C.max(), 1e-300), numItermax=10**7) * C.max()
            for tol in (1e-4, 1e-9):
                cost, gap, state = solve_pair(X, Y, even, even, state, tol, p)
                rounding = 1e-12 * C.max()
                assert truth - rounding <= cost <= truth + gap * cost + rounding
                assert gap <= tol or gap * cost <= 1.001e-13 * np.linalg.norm(np.ptp(np.vstack([X, Y]), axis=0)) ** p
            X = X + 0.02 * rng.normal(size=X.shape)


@pytest.mark.parametrize("p", [1, 1.5, 2, 4])
def test_on_a_line_equals_pot(p):
    rng = np.random.default_rng(2)
    for n, m in ((1, 1), (1, 9), (50, 50), (300, 200), (1000, 700)):
        for whole in (False, True):
            X, Y = rng.normal(size=(n, 1)), 0.5 + rng.normal(size=(m, 1))
            X, Y = (np.rint(3 * X), np.rint(3 * Y)) if whole else (X, Y)
            a, b = rng.random(n) + 0.01, rng.random(m) + 0.01
            a, b = a / a.sum(), b / b.sum()
            truth = ot.emd2_1d(X[:, 0], Y[:, 0], a, b, metric="minkowski", p=p)
            for tol in (1e-4, 1e-9):
                cost, gap, state = solve_pair(X, Y, a, b, None, tol, p)
                assert np.isclose(cost, truth, rtol=1e-11) and gap <= tol
                row, column, mass = state.plan(n)
                assert np.allclose(np.bincount(row, mass, n), a) and np.allclose(np.bincount(column, mass, m), b)
                assert np.isclose(mass @ abs(X[row, 0] - Y[column, 0]) ** p, truth, rtol=1e-11)
                f, g = state.potential[:n], state.potential[n:]
                assert (f[:, None] + g - abs(X - Y.T) ** p).max() <= 1e-11 * (1 + abs(state.potential).max())


def test_on_a_line_the_gradient_is_that_of_finite_differences():
    rng = np.random.default_rng(3)
    data = Distributions.from_list([rng.normal(size=(n, 4)) for n in (20, 30, 20)], [0, 0, 1])
    engine, W, weights = PairwiseTransport(data, tol=1e-9), rng.normal(size=(1, 4)), np.array([1.0, -2.0, 0.5])
    engine.solve(W)
    slope, step = engine.grad(weights), 1e-6
    for q in range(4):
        move = np.eye(4)[q : q + 1] * step
        change = (engine.solve(W + move) - engine.solve(W - move)) / (2 * step)
        assert np.isclose(slope[0, q], weights @ change, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("block", [1, 10**4, 2**40])
def test_blocks_and_threads_change_nothing(block, monkeypatch):
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 60, 12)
    shuffled = rng.permutation(np.repeat(np.arange(12), sizes))  # clouds whose rows are scattered
    data = Distributions(rng.normal(size=(len(shuffled), 3)), shuffled, np.arange(12) % 2)
    Z, expected = data.points.astype(float), []
    engine = PairwiseTransport(data, n_jobs=1)
    for i, j in engine.pairs:
        even = (np.full(len(data[x]), 1 / len(data[x])) for x in (i, j))
        expected.append(solve_pair(data[i], data[j], *even)[0])
    monkeypatch.setattr(pairs_module, "BLOCK", block)
    for n_jobs in (1, 3):
        engine = PairwiseTransport(data, n_jobs=n_jobs)
        assert np.array_equal(engine.solve_embedded(Z), expected)
        assert np.array_equal(embedded_costs(data, Z, tol=1e-4, n_jobs=n_jobs), expected)
        low, high = engine.bounds_embedded(1.01 * Z)
        truth = embedded_costs(data, 1.01 * Z)
        assert (low <= truth * (1 + 1e-9)).all() and (truth <= high * (1 + 1e-9)).all()


def test_larger_clouds_of_equal_masses_take_the_other_way():
    rng = np.random.default_rng(5)
    n = int(np.sqrt(KEPT)) + 1
    X, Y = rng.normal(size=(2, n, 3))
    even = np.full(n, 1 / n)
    assert np.isclose(solve_pair(X, Y, even, even, None, 1e-9)[0], ot.emd2(even, even, cdist(X, Y)), rtol=1e-9)


@pytest.mark.parametrize("kind", ["normal", "hubs", "grid", "far apart"])
def test_a_first_solve_leaves_nothing_behind_for_the_next(kind):
    "Memory is kept from pair to pair: what an earlier one wrote there has no part in a later one."
    rng = np.random.default_rng(8)
    pairs = [CLOUDS[kind](rng, n) for n in (150, 40, 90)]
    pairs += [(X[:-7], Y) for X, Y in pairs]
    even = [tuple(np.full(len(Z), 1 / len(Z)) for Z in pair) for pair in pairs]
    for tol in (1e-4, 1e-9):
        fresh = []
        for pair, masses in zip(pairs, even):
            pairs_module.own.__dict__.clear()
            fresh.append(solve_pair(*pair, *masses, tol=tol))
            truth = ot.emd2(*masses, cdist(*pair), numItermax=10**6)
            assert -1e-9 * truth <= fresh[-1][0] - truth <= max(fresh[-1][1], 1e-9) * truth and fresh[-1][1] <= tol
        for found, (pair, masses) in zip(fresh, zip(pairs, even)):
            cost, gap, state = solve_pair(*pair, *masses, tol=tol)
            assert (cost, gap) == found[:2] and all(map(np.array_equal, state, found[2]))
