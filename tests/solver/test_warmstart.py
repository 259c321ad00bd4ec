"""Adversarial inputs: the solver ends, the true error is at most the gap, plan and potentials are feasible."""

import numpy as np
import ot
import pytest
from scipy import sparse
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from ggml_nb import Distributions, PairwiseTransport, make_distributions
from ggml_nb.method.transport import solve_dense
from ggml_nb.solver.pairs import bounds, solve_pair
from ggml_nb.solver.simplex import State, first_state, grow, pivot, principal_order, units
from ggml_nb.solver.warmstart import MOST, padded, price, solve_rows


def draw(rng, P, n):
    "n points of P, with repetitions."
    return P[rng.integers(0, len(P), n)]


KINDS = {
    "gauss": lambda rng, P, Q: (P, Q),
    "all equal": lambda rng, P, Q: (0 * P + 1.5, 0 * Q + 1.5),
    "two points": lambda rng, P, Q: (0 * P + 1.5, 0 * Q - 0.7),
    "duplicates": lambda rng, P, Q: (draw(rng, P[::4], len(P)), draw(rng, Q[::4], len(Q))),
    "same points": lambda rng, P, Q: (P, draw(rng, P, len(Q))),
    "almost the same": lambda rng, P, Q: (P, draw(rng, P, len(Q)) + 1e-9 * Q),
    "permuted": lambda rng, P, Q: (P, rng.permutation(P)),
    "collinear": lambda rng, P, Q: (P[:, :1] * np.ones(P.shape[1]), Q[:, :1] * np.ones(P.shape[1])),
    "integer grid": lambda rng, P, Q: (np.round(1.5 * P), np.round(1.5 * Q)),
    "far apart": lambda rng, P, Q: (P, Q + 1e6),
    "offset": lambda rng, P, Q: (P + 1e5, Q + 1e5),
    "outlier": lambda rng, P, Q: (np.concatenate([P[:1] + 1e7, P[1:]]), Q),
    "tiny": lambda rng, P, Q: (1e-30 * P, 1e-30 * Q),
    "huge": lambda rng, P, Q: (1e30 * P, 1e30 * Q),
    "zero": lambda rng, P, Q: (0 * P, 0 * Q),
}  # fmt: skip


def masses(rng, n, kind):
    "Uniform, random, over 12 orders of magnitude, or some zero."
    a = [np.ones(n), rng.random(n) + 0.1, 10.0 ** rng.uniform(-12, 0, n), rng.random(n) * (rng.random(n) < 0.7)][kind]
    a[0] += a.sum() == 0
    return a / a.sum()


def linear_program(C, a, b):
    "The optimum by HiGHS, where POT's tolerances do not suffice."
    n, m = C.shape
    A = sparse.vstack([sparse.kron(sparse.eye(n), np.ones((1, m))), sparse.kron(np.ones((1, n)), sparse.eye(m))])
    tight = dict(primal_feasibility_tolerance=1e-10, dual_feasibility_tolerance=1e-10)
    result = linprog(C.ravel(), A_eq=A.tocsr(), b_eq=np.concatenate([a, b]), method="highs-ds", options=tight)
    assert result.status == 0
    return result.fun


def optimum(C, a, b, cost, gap, rounding):
    "The true optimum: POT, but HiGHS if POT contradicts the certificate."
    scale = C.max() or 1.0  # both have absolute tolerances
    truth = scale * ot.emd2(a, b, C / scale, numItermax=10**7, check_marginals=False)
    if truth - rounding <= cost <= truth + gap * cost + rounding:
        return truth, rounding
    return scale * linear_program(C / scale, a, b), rounding + 1e-9 * scale


def bounds_of(X, Y, a, b, state, p=1):
    "`bounds` of one pair."
    ends = np.array([0, len(X), len(X) + len(Y)])
    return [x[0] for x in bounds(np.vstack([X, Y]), np.append(a, b), ends, np.array([[0, 1]]), [state], p=p)[:2]]


def verify(X, Y, a, b, state, tol, p=1):
    "Solve, and check all that is claimed; returns the new state."
    n, m, C = len(X), len(Y), cdist(X, Y)
    both = np.concatenate([X, Y])
    diameter = np.linalg.norm(np.ptp(both, axis=0))
    cost, gap, new = solve_pair(X, Y, a, b, state, tol, p)
    diameter, C = diameter**p, C**p
    rounding = 1e-14 * (diameter + cost)  # of two solvers for the same cost
    truth, rounding = optimum(C, a, b, cost, gap, rounding)
    assert gap <= tol or gap * cost <= 1.001e-13 * diameter
    assert truth - rounding <= cost <= truth + gap * cost + rounding
    if state is not None:
        low, high = bounds_of(X, Y, a, b, state, p)
        assert low <= truth + rounding and truth <= high + rounding

    i, j, mass = new.plan(n)
    assert (mass > 0).all() and len(mass) <= n + m - 1
    assert np.allclose(np.bincount(i, mass, n), a, rtol=0, atol=1e-14)
    assert np.allclose(np.bincount(j, mass, m), b, rtol=0, atol=1e-14)
    assert abs(mass @ C[i, j] - cost) <= rounding
    assert ((new.flow > 0) | (new.parent < 0))[n:].all() and (new.parent < 0).sum() == 1  # strongly feasible

    f, g = new.potential[:n], new.potential[n:]
    eps = (4 * np.finfo(np.float32).eps if tol > 1e-6 else 1e-14) * p * (X.shape[1] / 2 + 4)
    assert (f[:, None] + g - C).max() <= eps * (diameter + np.abs(f).max() + np.abs(g).max())

    again, gap, _ = solve_pair(X, Y, a, b, new, tol, p)
    assert again <= cost and (gap <= tol or gap * again <= 1.001e-13 * diameter)
    return new


@pytest.mark.parametrize("kind", KINDS)
def test_certificate_survives(kind):
    rng = np.random.default_rng(list(KINDS).index(kind))
    for trial in range(24):
        n, m = (int(s) for s in rng.integers(2, 40, 2)) if trial % 3 else (25, 25)
        if trial in (4, 5):
            n, m = [(1, 90), (90, 1)][trial - 4]
        k, tol, step = int(rng.integers(1, 9)), (1e-4, 1e-9)[trial % 2], 0.02
        P, Q = KINDS[kind](rng, rng.normal(size=(n, k)), rng.normal(size=(m, k)) + rng.normal(size=k))
        m = len(Q)
        a, b, W, state = masses(rng, n, trial % 4), masses(rng, m, trial // 4 % 4), rng.normal(size=(k, k)), None
        near = W + step * rng.normal(size=W.shape)
        for V in [W, near, 10 * W, np.outer(W[0], W[-1]), 0 * W, -W]:  # a small move, a jump, rank 1, zero, and back
            state = verify(P @ V.T, Q @ V.T, a, b, state, tol)


@pytest.mark.parametrize("n, m, kind", [
    (1, 1000, "gauss"), (1000, 1, "gauss"), (500, 37, "gauss"), (400, 300, "integer grid"),
    (300, 300, "collinear"), (300, 300, "all equal"), (300, 300, "duplicates"), (300, 300, "permuted"),
])  # fmt: skip
def test_large_and_degenerate(n, m, kind):
    rng = np.random.default_rng(n + m)
    for weighted in range(3):
        P, Q = KINDS[kind](rng, rng.normal(size=(n, 3)), rng.normal(size=(m, 3)))
        a, b, state = masses(rng, n, weighted), masses(rng, m, weighted), None
        for tol in (1e-4, 1e-9):
            V = np.eye(3) + 0.02 * rng.normal(size=(3, 3)) * (state is not None)
            state = verify(P @ V.T, Q @ V.T, a, b, state, tol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32_points_are_points(dtype):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 4)).astype(dtype), rng.normal(size=(45, 4)).astype(dtype)
    verify(X, Y, np.full(60, 1 / 60), np.full(45, 1 / 45), None, 1e-9)


def test_warm_equals_cold():
    rng = np.random.default_rng(1)
    clouds = [rng.normal(size=(n, 6)) + rng.normal(size=6) for n in (30, 80, 55, 1, 80)]
    data = Distributions.from_list(clouds, [0, 0, 1, 1, 1], weights=rng.random(246))
    W, warm = rng.normal(size=(3, 6)), PairwiseTransport(data, tol=1e-4)
    for _ in range(10):
        W = W + 0.05 * rng.normal(size=W.shape)
        exact = PairwiseTransport(data, tol=1e-9).solve(W)
        costs, gaps = warm.solve(W), warm.gaps
        assert (gaps <= 1e-4).all() and (costs >= exact * (1 - 1e-9)).all() and (costs <= exact * (1 + 1e-4)).all()
        cold = PairwiseTransport(data, tol=1e-4).solve(W)
        assert np.allclose(costs, cold, rtol=1e-4, atol=0)


def test_some_pairs_only():
    rng = np.random.default_rng(2)
    data = Distributions.from_list(list(rng.normal(size=(4, 20, 3))), [0, 0, 1, 1])
    some, every = PairwiseTransport(data), PairwiseTransport(data)
    every.solve(np.eye(3))
    costs = every.solve(2 * np.eye(3))
    some.solve(np.eye(3))
    assert np.array_equal(some.solve(2 * np.eye(3), which=[4, 1]), costs[[4, 1]])
    weights = np.zeros(6)
    weights[[4, 1]] = 1, -2
    assert np.allclose(some.grad([1, -2]), every.grad(weights))
    assert some.solve(np.eye(3), which=[]).shape == (0,) and not some.grad([]).any()


def test_no_state_is_changed_by_its_use():
    rng = np.random.default_rng(3)
    X, Y, a = rng.normal(size=(50, 3)), rng.normal(size=(50, 3)), np.full(50, 0.02)
    state = solve_pair(X, Y, a, a)[2]
    before = [part.copy() for part in state]
    solve_pair(2 * X, Y, a, a, state)
    bounds_of(X, -Y, a, a, state)
    assert all(np.array_equal(part, old) for part, old in zip(state, before))


@pytest.mark.parametrize("n, m", [(1, 1), (1, 6), (6, 1), (7, 7), (12, 8)])
@pytest.mark.parametrize("tie", [True, False])
def test_first_tree_takes_any_arcs(n, m, tie):
    "Whatever arcs it is given: a spanning tree with the right masses, and no empty arc above a column."
    rng = np.random.default_rng(n + 20 * m)
    a, b = (np.full(n, 1 / n), np.full(m, 1 / m)) if tie else (masses(rng, n, 1), masses(rng, m, 1))
    arcs = np.stack(np.mgrid[:n, :m], axis=-1).reshape(-1, 2).astype(np.int32)
    for share in (0, 0.1, 0.5, 1):
        some = rng.permutation(arcs)[: round(share * n * m)]
        state = State(*first_state(principal_order(rng.normal(size=(n + m, 2)), n), a, b, some))
        i, j, mass = state.plan(n)
        assert np.allclose(np.bincount(i, mass, n), a, rtol=0, atol=1e-14)
        assert np.allclose(np.bincount(j, mass, m), b, rtol=0, atol=1e-14)
        assert ((state.flow > 0) | (state.parent < 0))[n:].all()
        top = np.arange(n + m)
        for _ in range(n + m):
            top = np.where(state.parent[top] < 0, top, state.parent[top])
        assert (top == top[0]).all()  # every node's way up ends at the one root


def test_tree_bookkeeping_after_many_pivots():
    "Sizes, order and potentials kept by the pivots are those of the tree, after each and every one."
    rng = np.random.default_rng(4)
    for n, m in ((40, 30), (7, 50), (30, 2)):
        X, Y = rng.normal(size=(n, 2)), rng.normal(size=(m, 2))
        a, b, C = masses(rng, n, 1), masses(rng, m, 1), cdist(X, Y)
        parent, flow, pot = first_state(principal_order(np.concatenate([X, Y]), n), a, b, np.empty((0, 2), np.int32))
        root, size, order = grow(X, Y, parent, pot, 1.0)
        after, before, last = order
        reduced, pivots = C - pot[:n, None] - pot[n:], 0
        while (reduced < -1e-12).any():
            i, j = rng.choice(np.argwhere(reduced < -1e-12))
            pivot(i, n + j, reduced[i, j], n, parent, flow, pot, size, order)
            fresh = pot.copy()
            assert grow(X, Y, parent, fresh, 1.0)[0] == root and np.array_equal(before[after], np.arange(n + m))
            assert np.allclose((fresh - pot)[:n], fresh[0] - pot[0]) and np.allclose(
                (pot - fresh)[n:], fresh[0] - pot[0]
            )
            for v in range(n + m):  # below v are the nodes that follow it, as many as its size, up to the last
                branch = [v]
                while branch[-1] != last[v]:
                    branch.append(after[branch[-1]])
                assert len(branch) == size[v] == len(set(branch)) and set(parent[branch[1:]]) <= set(branch)
            reduced, pivots = C - pot[:n, None] - pot[n:], pivots + 1
        assert pivots > 10 * (m > 2)
        assert np.isclose(pot @ np.concatenate([a, b]), solve_dense(C, a, b).cost, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m, k", [(1, 1), (63, 3), (64, 4), (65, 5), (200, 9)])
def test_price_is_the_c_transform(m, k, dtype):
    rng = np.random.default_rng(m)
    X, Y, g = rng.normal(size=(30, k)).astype(dtype), rng.normal(size=(m, k)).astype(dtype), 0.1 * rng.normal(size=m)
    w = -(-m // 64) * 64
    B, padded_g = np.zeros((k, w), dtype), np.full(w, -np.inf, dtype)
    B[:, :m], padded_g[:m] = Y.T, g
    f, h, arcs = np.empty(30, dtype), np.empty(w, dtype), np.full((20 * 30, 2), -1, np.int32)
    C = np.empty((30, w), dtype)
    found = price(X, B, m, C, False, padded_g, f, h, arcs, 1.0)
    seen = f.copy(), h.copy(), arcs[:found].copy()
    assert price(np.full_like(X, np.nan), B, m, C, True, padded_g, f, h, arcs, 1.0) == found  # from the kept rows
    assert all(np.array_equal(*pair) for pair in zip(seen, (f, h, arcs[:found])))
    reduced = cdist(X, Y) - g.astype(dtype)
    near = 1e-5 if dtype == np.float32 else 1e-12
    assert np.allclose(f, reduced.min(axis=1), atol=near)
    assert np.allclose(h[:m], (cdist(X, Y) - f[:, None]).min(axis=0), atol=near)
    i, j = arcs[:found].T
    assert (np.diff(i) >= 0).all() and np.array_equal(np.unique(i), np.arange(30)) and (0 <= j).all() and (j < m).all()
    best = np.full(30, np.inf)
    np.minimum.at(best, i, reduced[i, j])
    assert np.allclose(best, f, atol=near)  # each row's best arc is noted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_of_ties_notes_its_best_arc(dtype):
    "All columns at one distance: their mean, rounded, may lie below it, and must not become the bar."
    for distance in np.random.default_rng(0).random(50).astype(dtype):
        X, B = np.zeros((3, 1), dtype), padded(np.full((64, 1), distance), dtype)
        f, h, arcs = np.empty(3, dtype), np.empty(64, dtype), np.empty((MOST * 3, 2), np.int32)
        found = price(X, B, 64, np.empty((1, 64), dtype), False, np.zeros(64, dtype), f, h, arcs, 1.0)
        assert np.array_equal(np.unique(arcs[:found, 0]), [0, 1, 2])


@pytest.mark.parametrize("dim", [2, 200])
def test_clouds_on_a_line(dim):
    "One axis of the synthetic data: sorting is the optimum, and most reduced costs are 0."
    data = make_distributions(dim, seed=0)
    Z = data.points[:, :1].astype(np.float64)
    pairs = [(i, j) for i in range(0, 30, 3) for j in range(i + 1, 30, 2)]
    for i, j in [(0, 20), *pairs]:
        X, Y = Z[data.rows(i)], Z[data.rows(j)]
        even = np.full(len(X), 1 / len(X)), np.full(len(Y), 1 / len(Y))
        for tol in (1e-4, 1e-9):
            cost, gap, _ = solve_pair(X, Y, *even, None, tol)
            best = np.abs(np.sort(X[:, 0]) - np.sort(Y[:, 0])).mean()
            assert gap <= tol and best * (1 - 1e-9) <= cost <= best * (1 + tol + 1e-9)


def test_units_sum_exactly():
    rng = np.random.default_rng(5)
    for kind in range(4):
        x = units(masses(rng, 1000, kind))
        assert x.min() >= 1 and x.sum() == 2**60


@pytest.mark.parametrize(
    "n, m, tol", [(1000, 2, 1e-4), (1000, 5, 1e-4), (2, 1000, 1e-4), (1000, 9, 1e-4), (8000, 3, 1e-9)]
)
def test_a_cloud_of_few_points_and_one_of_many(n, m, tol):
    rng = np.random.default_rng(0)  # a row of fewer than KEEP columns never fills its list of arcs
    X, Y = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    cost, gap, _ = solve_pair(X, Y, a, b, tol=tol)
    assert gap <= tol and abs(cost / ot.emd2(a, b, cdist(X, Y)) - 1) <= tol


@pytest.mark.parametrize("n, m", [(20, 13), (13, 20), (1, 300), (300, 1), (1, 1)])
def test_all_arcs_from_any_memory(n, m):
    "`solve_rows` fills its state in, whatever it held; the first tree is as quick for one point against many."
    rng = np.random.default_rng(n)
    a, b, C = masses(rng, n, 1), masses(rng, m, 1), rng.random((n, m))
    table = np.full((n, -(-m // 64) * 64), np.inf)
    table[:, :m] = C
    state = np.full(n + m, 7, np.int32), np.full(n + m, -5), np.full(n + m, np.nan)
    solve_rows(table, a, b, 1e-10, 2e-14, *state)
    row, col, mass = State(*state).plan(n)
    assert np.isclose(mass @ C[row, col], ot.emd2(a, b, C), rtol=1e-9, atol=0)
    assert (state[2][:n, None] + state[2][n:] <= C + 1e-9).all()
