"No false certificate: any costs for the dense solver, any power for the engine, checked by NumPy alone."

import select
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import ggml_nb.solver.pairs as pairs_module
from ggml_nb import Distributions, PairwiseTransport, SinkhornTransport, pair_costs, wasserstein
from ggml_nb.method.transport import feasible_potentials, relative_gap, solve_dense, unsettled

EPS = np.finfo(float).eps


def masses(rng, n, kind):
    "Uniform, random, over 12 orders of magnitude, or some zero."
    a = [np.ones(n), rng.random(n) + 0.1, 10.0 ** rng.uniform(-12, 0, n), rng.random(n) * (rng.random(n) < 0.7)][kind]
    a[0] += a.sum() == 0
    return a / a.sum()


def costs(rng, n, m):
    "Any sign, scale and rank, with ties, offsets and entries of very different size."
    rank = int(rng.integers(1, 5))
    C = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, m))
    kind = rng.integers(6)
    if kind == 0:
        C = np.abs(C)
    elif kind == 1:
        C = np.round(C)
    elif kind == 2:
        C = C + 10.0 ** rng.uniform(0, 8) * rng.choice([-1, 1])
    elif kind == 3:
        C = np.sign(C) * 10.0 ** rng.uniform(-16, 0, (n, m))
    elif kind == 4:
        C = cdist(rng.normal(size=(n, 2)), rng.normal(size=(m, 2))) * rng.choice([-1, 1])
    return C * 10.0 ** rng.uniform(-100, 100)


def claimed(result):
    "By how much the cost may be too high."
    return result.gap * abs(result.cost) if result.cost else np.inf if result.gap else 0.0


def check_result(result, C, a, b):
    "All that an OTResult claims, but for the optimum itself."
    f, g = result.potentials
    assert (f[:, None] + g <= C).all()
    assert np.allclose(result.plan.sum(axis=1), a, rtol=0, atol=1e-14)
    assert np.allclose(result.plan.sum(axis=0), b, rtol=0, atol=1e-14)
    assert (result.plan.data >= 0).all() and result.plan.nnz <= len(a) + len(b) - 1
    cost, value = result.plan.data @ C[result.plan.row, result.plan.col], a @ f + b @ g
    size = result.plan.data @ np.abs(C[result.plan.row, result.plan.col]) + a @ np.abs(f) + b @ np.abs(g)
    assert abs(cost - result.cost) <= 8 * EPS * size
    assert cost - value <= claimed(result) + 8 * EPS * size  # the gap is of what is returned


@given(st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_dense_costs_of_any_sign_scale_and_rank(seed):
    rng = np.random.default_rng(seed)
    n, m = (int(s) for s in rng.integers(1, 15, 2))
    C, a, b = costs(rng, n, m), masses(rng, n, rng.integers(4)), masses(rng, m, rng.integers(4))
    result = solve_dense(C, a, b)
    check_result(result, C, a, b)
    low, scale = C.min(), np.ptp(C) or 1.0
    truth = low + scale * ot.emd2(a, b, (C - low) / scale, numItermax=10**7, check_marginals=False)
    slack = 20 * EPS * (np.abs(C).max() + scale)  # of the oracle, whose tolerance is a share of the largest cost
    assert abs(result.cost - truth) <= claimed(result) + slack
    assert result.cost <= truth + slack


def test_the_four_false_certificates():
    C, half = np.array([[-1.0, -4.0], [0.0, -2.0]]), np.full(2, 0.5)
    negative = solve_dense(C, half, half)
    assert negative.cost == -2 and 0 <= negative.gap < 1e-14
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="cost"):
            solve_dense(np.where(np.eye(2) > 0, bad, C), half, half)
        with pytest.raises(ValueError, match="cost"):
            wasserstein(cost=np.where(np.eye(2) > 0, bad, C))
    with pytest.raises(ValueError, match="masses of sum 1"):
        solve_dense(C, 2 * half, half)
    with pytest.raises(ValueError, match="masses of sum 1"):
        solve_dense(C, np.array([1.5, -0.5]), half)
    with pytest.raises(ValueError, match="must have shape"):
        solve_dense(C, half, np.full(3, 1 / 3))
    near = np.random.default_rng(0).random((6, 6)) * 1e-14  # near-zero costs beside large ones
    near[0, 5] = near[5, 0] = 1.0
    even = np.full(6, 1 / 6)
    result = solve_dense(near, even, even)
    order = ot.emd2(even, even, np.minimum(near, 2e-14) * 1e14) * 1e-14
    assert result.cost - order <= result.gap * result.cost


def test_a_gap_of_costs_that_cancel():
    assert relative_gap(0.0, 0.0) == 0 and relative_gap(-2.0, -2.5) == 0.25 and relative_gap(0.0, -1e-20) == np.inf
    zero = solve_dense(np.zeros((3, 2)), np.full(3, 1 / 3), np.full(2, 0.5))
    assert zero.cost == 0 and zero.gap == 0


@given(st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_potentials_obey_every_rule_in_floating_point(seed):
    rng = np.random.default_rng(seed)
    n, m = (int(s) for s in rng.integers(1, 12, 2))
    C, g = costs(rng, n, m), costs(rng, 1, m)[0]
    f, g = feasible_potentials(C, g, masses(rng, n, 3), masses(rng, m, 3))
    assert (f[:, None] + g <= C).all()


def clouds(rng, kind, n, m, k):
    X, Y = rng.normal(size=(n, k)), rng.normal(size=(m, k)) + rng.normal(size=k)
    if kind == "grid":
        return np.round(1.5 * X), np.round(1.5 * Y)
    if kind == "duplicates":
        return X[rng.integers(0, n, n) // 3], Y[rng.integers(0, m, m) // 3]
    if kind == "near":
        return X, X[rng.integers(0, n, m)] + 10.0 ** rng.uniform(-9, -1) * Y
    if kind == "scale":
        return 10.0 ** rng.uniform(-20, 20) * X, 10.0 ** rng.uniform(-20, 20) * Y
    return X, Y


@pytest.mark.parametrize("kind", ["gauss", "grid", "duplicates", "near", "scale"])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 7])
def test_the_true_error_is_at_most_the_gap(p, kind):
    rng = np.random.default_rng([int(10 * p), len(kind)])
    for trial in range(16):
        n, m = [(1, 30), (30, 1), (20, 20), *[tuple(rng.integers(2, 40, 2))] * 2][trial % 5]
        X, Y = clouds(rng, kind, n, m, int(rng.integers(1, 4)))
        a, b = masses(rng, n, trial % 4), masses(rng, m, (trial // 4) % 4)
        data = Distributions.from_list([np.eye(1), np.eye(1)], [0, 1])  # replaced below: float64 points are kept
        data = Distributions.from_list([np.zeros((n, 1)), np.zeros((m, 1))], [0, 1], weights=np.concatenate([a, b]))
        engine = PairwiseTransport(data, tol=(1e-4, 1e-9)[trial % 2], p=p, n_jobs=1)
        for Z in (np.concatenate([X, Y]), np.concatenate([X, 1.01 * Y])):  # cold, and warm
            C = cdist(Z[:n], Z[n:]) ** p
            cost, gap = engine.solve_embedded(Z)[0], engine.gaps[0]
            exact = wasserstein(cost=C, a=a, b=b)
            size = np.linalg.norm(np.ptp(Z, axis=0)) ** p
            assert cost - exact.cost <= gap * cost + 1e-14 * size
            assert exact.cost * (1 - exact.gap) <= cost + 1e-14 * size
            assert gap <= engine.tol or gap * cost <= 1.001e-13 * size
            f, g = engine.potentials(0)
            proof, plan = engine.certificate(0), engine.plan(0)
            assert (f[:, None] + g <= C).all() and proof.dual <= a @ f + b @ g + 8 * EPS * (a @ abs(f) + b @ abs(g))
            assert proof.primal == pytest.approx((plan.toarray() * C).sum(), rel=1e-12) and proof.dual <= proof.primal
            assert proof.gap <= gap + 20 * EPS * size / max(cost, 1e-300) + 1e-12


@pytest.mark.parametrize("tol", [1e-4, 1e-9])
@pytest.mark.parametrize("p", [1, 2, 3, 100])
@pytest.mark.parametrize("where", [1.0, 1e-3, 0.0])
def test_costs_tiny_beside_the_clouds(where, p, tol):
    "Half of the points move by next to nothing: the optimum is known, and neither gap ever says less than the truth."
    rng = np.random.default_rng(p)
    engine = PairwiseTransport(Distributions.from_list(list(rng.normal(size=(2, 20, 3))), [0, 1]), tol=tol, p=p)
    for move in (0, 1e-320, 1e-200, 1e-170, 1e-120, 1e-40, 1e-20, 1e-17, 1e-15, 1e-12, 1e-8, 1e-6):
        X = rng.normal(size=(20, 3))
        X[:10] = where * X[:10] if where else 1e4 * move * X[:10]  # of their own size, or next to nothing apart
        Y = X.copy()
        Y[:10] += move * rng.normal(size=(10, 3))
        step = np.abs(X.astype(np.longdouble) - Y).astype(np.longdouble)
        truth = (np.sqrt((step**2).sum(axis=1)) ** p).mean()  # each point to itself
        cost, gap = engine.solve_embedded(np.concatenate([X, Y]))[0], engine.gaps[0]
        proof, size = engine.certificate(0), np.linalg.norm(np.ptp(np.concatenate([X, Y]), axis=0)) ** p
        for primal, share in ((cost, gap), (proof.primal, proof.gap)):
            if not step.any():
                assert primal == 0 and share == 0
                continue
            assert share > 0
            if np.isfinite(share):
                assert abs(truth - primal) <= primal * np.longdouble(share) + 1e-12 * truth
        assert proof.dual <= truth * (1 + 1e-12)
        assert proof.gap <= max(gap, tol) + 20 * EPS * size / max(cost, 1e-200)


def test_differences_whose_squares_are_no_numbers():
    result = wasserstein([[1e-170], [1.0]], [[0.0], [1.0]])
    assert result.cost == pytest.approx(5e-171, rel=1e-12, abs=0) and 0 < result.gap < 1e-9
    lost = wasserstein([[1e-170]], [[0.0]], p=2)
    assert lost.cost < 1e-300 and lost.gap == np.inf
    assert wasserstein([[1e-170]], [[1e-170]], p=2).gap == 0
    with np.errstate(all="raise"):
        assert wasserstein([[1e200, 1e-170]], [[1e200, 0.0]]).cost > 0


def test_one_rule_for_what_is_left_open(recwarn):
    "`wasserstein` and `pair_costs` warn of the same problem, and of nothing where costs of both signs cancel."
    C, half = np.array([[1e-9, 1.0], [1.0, -1e-9]]), np.full(2, 0.5)
    assert abs(wasserstein(cost=C).cost) < 1e-12 and not recwarn
    wide = solve_dense(np.array([[1e-30, 1.0], [1.0, 1e-30]]), half, half)
    assert (unsettled(wide, np.full((2, 2), 1e-30)) > 1e-6) == (wide.gap > 1e-6)


def test_powers_of_the_whole_table():
    rng = np.random.default_rng(3)
    data = Distributions.from_list([rng.normal(size=(n, 4)) for n in (9, 14, 20)], [0, 0, 1], weights=rng.random(43))
    W = rng.normal(size=(2, 4))
    for p in (1, 2, 2.5):
        ours = pair_costs(data, [(0, 1), (1, 2)], W, p=p)
        for cost, (i, j) in zip(ours, [(0, 1), (1, 2)]):
            X, Y = (data[c].astype(float) @ W.T for c in (i, j))
            a, b = (data.weights[data.rows(c)] for c in (i, j))
            assert cost == pytest.approx(ot.emd2(a, b, cdist(X, Y) ** p), rel=1e-8)
    own = pair_costs(data, [(0, 2)], metric="cityblock", p=2)
    C = cdist(data[0], data[2], "cityblock").astype(float) ** 2
    a, b = (data.weights[data.rows(c)] for c in (0, 2))
    assert own[0] == pytest.approx(ot.emd2(a, b, C), rel=1e-6)


def test_gradient_of_powers_by_finite_differences():
    rng = np.random.default_rng(4)
    data = Distributions.from_list([rng.normal(size=(n, 4)) for n in (9, 14, 20)], [0, 0, 1], weights=rng.random(43))
    W, weights, h = rng.normal(size=(2, 4)), rng.normal(size=3), 1e-6
    for p in (1, 1.5, 2, 3):
        engine = PairwiseTransport(data, tol=1e-10, p=p)
        engine.solve(W)
        grad, move = engine.grad(weights), rng.normal(size=W.shape)
        numeric = weights @ (engine.solve(W + h * move) - engine.solve(W - h * move)) / (2 * h)
        assert numeric == pytest.approx((grad * move).sum(), rel=1e-5)


def test_points_out_of_range_are_refused():
    rng = np.random.default_rng(0)
    data = Distributions.from_list(list(rng.normal(size=(2, 5, 2))), [0, 1])
    for Z, p in ((np.full((10, 2), np.nan), 1), (1e200 * rng.normal(size=(10, 2)), 2), (np.full((10, 2), np.inf), 1)):
        with pytest.raises(ValueError, match="must be finite|too far apart"):
            PairwiseTransport(data, p=p).solve_embedded(Z)
    for p in (0.5, 101, "2", np.nan, None):
        with pytest.raises(ValueError, match="p must be a number from 1 to 100"):
            PairwiseTransport(data, p=p)
        with pytest.raises(ValueError, match="p must be a number from 1 to 100"):
            wasserstein(np.eye(2), np.eye(2), p=p)
    with pytest.raises(ValueError, match="leave out p=2"):
        wasserstein(cost=np.eye(2), p=2)
    for wrong in ((np.eye(2), None, None), (None, None, None), (np.eye(2), np.eye(2), np.eye(2))):
        with pytest.raises(ValueError, match="give two clouds"):
            wasserstein(*wrong[:2], cost=wrong[2])
    with pytest.raises(ValueError, match="not both"):
        pair_costs(data, [(0, 1)], np.eye(2), metric="cosine")


def test_which_pairs():
    rng = np.random.default_rng(0)
    engine = PairwiseTransport(Distributions.from_list(list(rng.normal(size=(4, 6, 2))), [0, 0, 1, 1]))
    every = engine.solve(np.eye(2))
    assert np.array_equal(engine.solve(np.eye(2), every > np.median(every)), every[every > np.median(every)])
    assert np.array_equal(engine.solve(np.eye(2), [-1]), every[-1:]) and len(engine.solve(np.eye(2), [])) == 0
    for wrong in ([6], [True, False], [0.5]):
        with pytest.raises(IndexError):
            engine.solve(np.eye(2), wrong)
    with pytest.raises(ValueError, match="which must be indices"):
        engine.solve(np.eye(2), [[0, 1]])
    for Z in (np.zeros(24), np.zeros((25, 2)), np.zeros((23, 2))):
        with pytest.raises(ValueError, match="Z must have a row for each of 24 points"):
            engine.solve_embedded(Z)


def test_after_an_interrupt_there_are_no_plans(monkeypatch):
    rng = np.random.default_rng(0)
    engine = PairwiseTransport(Distributions.from_list(list(rng.normal(size=(4, 6, 2))), [0, 0, 1, 1]), n_jobs=1)
    before, states = engine.solve(np.eye(2)), list(engine.states)
    solve_pairs, calls = pairs_module.solve_pairs, []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return solve_pairs(*args, **options)

    monkeypatch.setattr(pairs_module, "BLOCK", 36)  # each pair is a block
    monkeypatch.setattr(pairs_module, "solve_pairs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.solve(2 * np.eye(2))
    for use in (lambda: engine.grad(np.ones(6)), lambda: engine.gaps, lambda: engine.plan(0)):
        with pytest.raises(RuntimeError, match="the last solve was interrupted"):
            use()
    assert all(new is old for new, old in zip(engine.states, states))  # all or nothing
    assert np.allclose(engine.solve(2 * np.eye(2)), 2 * before, rtol=2e-4)
    assert engine.grad(np.ones(6)).shape == (2, 2)


LOOP = """
import signal
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without it
from ggml_nb import Distributions, PairwiseTransport
rng = np.random.default_rng(0)
engine = PairwiseTransport(Distributions.from_list(list(rng.normal(size=(60, 20, 3))), [0] * 60), n_jobs=1)
W = rng.normal(size=(3, 3))
engine.solve(W)
engine.grad(np.ones(1770))
while True:
    try:
        print("ready", flush=True)
        while True:
            W = W + 0.02 * rng.normal(size=W.shape)
            engine.solve(W)
            engine.grad(np.ones(1770))
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_control_c_does_not_crash_the_process():
    "Pairs solved in the main thread, interrupted again and again: a named tuple or an array returned crashed 3 of 4."
    rng = np.random.default_rng(0)
    with subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as loop:
        try:
            assert loop.stdout.readline() == b"ready\n", loop.stderr.read().decode()[-2000:]
            sent = 0
            for _ in range(15):
                time.sleep(rng.uniform(0.05, 0.2))
                for _ in range(20):  # Python drops an interrupt that comes in a callback, where nothing can be raised
                    sent += 1
                    assert loop.poll() is None
                    loop.send_signal(signal.SIGINT)
                    if select.select([loop.stdout], [], [], 3)[0]:
                        break
                assert loop.stdout.readline() == b"ready\n", loop.stderr.read().decode()[-2000:]
            assert sent <= 17  # and it does so rarely
        finally:
            loop.kill()


def test_exact_costs_stay_exact_over_many_orders_of_magnitude():
    "POT's simplex stops at 2.7 and 1.4 here: one far point, at home in both clouds, hides the digits of the others."
    a, b = np.array([[0.0], [1], [1e6]]), np.array([[0.5], [2], [1e6]])
    data = Distributions(np.vstack([a, b]), [0, 0, 0, 1, 1, 1], None)
    assert np.isclose(pair_costs(data, [[0, 1]], p=3)[0], 0.375, rtol=1e-6)
    with pytest.warns(UserWarning, match="span too many orders of magnitude"):
        assert wasserstein(a, b, p=3).gap > 0.5
    for wrong in ([[0, -1]], [[0, 7]], [[0.0, 1.0]], [0, 1]):
        with pytest.raises(ValueError, match="pairs must"):
            pair_costs(data, wrong)


@pytest.mark.parametrize(
    ("engine", "method"),
    [(PairwiseTransport, "plans"), (PairwiseTransport, "bounds_embedded"), (SinkhornTransport, "solve_embedded")],
)
def test_embedded_points_are_checked_by_every_solver(engine, method):
    data = Distributions(np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) // 3, None)
    Z = np.ones((9, 2))
    for wrong in (Z[:8], np.ones((10, 2)), Z[:, 0], Z * np.nan, Z * np.inf, Z * 1j, Z.astype(str)):
        with pytest.raises(ValueError, match="row for each of 9 points|must be finite real numbers"):
            getattr(engine(data), method)(wrong)


def test_sinkhorn_says_where_epsilon_is_too_small():
    data = Distributions(np.random.default_rng(0).normal(size=(19, 2)), np.repeat([0, 1, 2], [6, 8, 5]), None)
    with pytest.raises(ArithmeticError, match="epsilon is too small"):
        SinkhornTransport(data, device="cpu", epsilon=1e-20).solve_embedded(data.points)
    with pytest.raises(ValueError, match="epsilon must be positive and finite"):
        SinkhornTransport(data, epsilon=np.inf)


def test_a_gradient_where_clouds_nearly_coincide_and_far_from_the_origin():
    "Arrows are summed one by one: in a Laplacian times Z their digits would cancel."
    X = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 3.0]])
    Y, masses_ = np.nextafter(X, 9), np.array([0.5, 0.3, 0.2, 0.3, 0.3, 0.4])
    engine = PairwiseTransport(Distributions.from_list([X, Y], [0, 1], weights=masses_), tol=1e-9, n_jobs=1)
    for Z in (np.vstack([X, Y]), np.vstack([X, X + 1]) + 1e9):
        engine.solve_embedded(Z)
        plan, want = engine.plan(0), np.zeros((6, 2))
        for x, y, mass in zip(plan.row, plan.col, plan.data):
            arrow = Z[x] - Z[3 + y]
            pull = mass * arrow / np.linalg.norm(arrow) if arrow.any() else 0 * arrow
            want[x] += pull
            want[3 + y] -= pull
        assert np.allclose(engine.grad_embedded([1.0]), want, rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", [1e-165, 1e-120, 1e-10, 1e10, 1e90])
def test_any_unit_behaves_alike(scale):
    rng = np.random.default_rng(0)
    data = Distributions.from_list([rng.normal(size=(n, 2)) for n in (6, 9)])
    Z = data.points.astype(float)
    for p in (1, 2, 3):
        want = PairwiseTransport(data, tol=1e-9, p=p).solve_embedded(Z)[0]
        power, engine = scale**p if abs(np.log10(scale)) * p < 300 else np.inf, PairwiseTransport(data, tol=1e-9, p=p)
        if power == np.inf and scale < 1:
            with pytest.warns(UserWarning, match="certified to inf"):
                assert engine.solve_embedded(Z * scale)[0] == 0 and engine.gaps[0] == np.inf
        else:
            assert engine.solve_embedded(Z * scale)[0] == pytest.approx(want * power, rel=1e-9, abs=0)
            assert engine.gaps[0] <= 1e-9
            lower, upper = engine.bounds_embedded(Z * scale)
            assert 0.9 * want * power < lower[0] <= upper[0] * (1 + 1e-12)
    with pytest.raises(ValueError, match="too far apart: distances to the power 2"):
        PairwiseTransport(data, p=2).solve_embedded(Z * 1e160)


def test_what_precision_leaves_open_is_said():
    rng = np.random.default_rng(0)
    data = Distributions.from_list([rng.normal(size=(n, 3)) for n in (20, 25)])
    for solve in (
        lambda: pair_costs(data, [(0, 1)], p=30),
        lambda: pair_costs(data, [(0, 1)], np.eye(3), p=30),
        lambda: PairwiseTransport(data, p=30).solve_embedded(data.points),
    ):
        with pytest.warns(UserWarning, match="certified to"):
            solve()


def test_small_costs_beside_huge_ones_are_found_in_a_second_try():
    rng = np.random.default_rng(3)
    for _ in range(20):
        C = np.abs(rng.normal(size=(9, 11))) ** rng.uniform(20, 60)
        a, b = np.full(9, 1 / 9), np.full(11, 1 / 11)
        found = solve_dense(C, a, b)
        assert found.cost <= ot.emd2(a, b, C, numItermax=10**7) * (1 + 1e-9)


def test_sinkhorn_says_what_it_did_not_reach():
    rng = np.random.default_rng(0)
    data = Distributions.from_list([rng.normal(size=(8, 2)) for _ in range(2)])
    with pytest.warns(UserWarning, match="after 3 iterations: raise max_iter or epsilon"):
        SinkhornTransport(data, tol=1e-9, max_iter=3).solve_embedded(data.points)
    want = SinkhornTransport(data).solve_embedded(data.points)
    Z = data.points.astype(float)
    for scale in (1e-162, 1e-165):
        engine = SinkhornTransport(data)
        assert engine.solve_embedded(Z * scale) == pytest.approx(want * scale, rel=1e-9, abs=0)
    squares = SinkhornTransport(data, p=2)
    squares.solve_embedded(Z * 1e-165)
    assert squares.gaps[0] == np.inf


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda data: PairwiseTransport(data, tol=2), "tol is a relative gap"),
        (lambda data: PairwiseTransport(data, tol="a"), "tol is a relative gap"),
        (lambda data: SinkhornTransport(data, epsilon="a"), "epsilon must be positive"),
        (lambda data: PairwiseTransport(data).solve_embedded(data.points * np.nan), "got NaN or infinite values"),
        (lambda data: wasserstein(cost=np.full((2, 2), 1e305)), "at most 1e300 in size"),
        (lambda data: Distributions.from_list([[[1.0]], [[2.0]]], weights=[[1.0], [1.0, 2.0]]), "one number per point"),
    ],
)
def test_what_cannot_be_solved_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call(Distributions.from_list([np.zeros((2, 1)), np.ones((3, 1))]))


def exact_on_a_line(x, y, a, b, p):
    "Optimum of clouds on a line in rational numbers: the quantiles, in step."
    points = [sorted(zip(map(Fraction, z.tolist()), map(Fraction, w.tolist()))) for z, w in ((x, a), (y, b))]
    clouds = [[[z, w / sum(w for _, w in cloud)] for z, w in cloud] for cloud in points]
    total = Fraction(0)
    while all(clouds):
        (u, a), (v, b) = clouds[0][0], clouds[1][0]
        total += min(a, b) * abs(u - v) ** p
        for cloud in clouds:
            cloud[0][1] -= min(a, b)
            if not cloud[0][1]:
                cloud.pop(0)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_bounds_hold_for_masses_that_hardly_count(seed):
    "A point of mass 1 beside others of 1e-14 to 1e-6: normalised they sum to 1, and not only to twelve digits."
    rng = np.random.default_rng(seed)
    for _ in range(60):
        n, m = rng.integers(1, 7, 2)
        place = np.float32(rng.random(2) * 10.0 ** rng.integers(-3, 3))
        x, y = (np.float32(place[rng.integers(2, size=size)] + 1e-4 * rng.normal(size=size)) for size in (n, m))
        a, b = (np.append(1, 10.0 ** rng.integers(-14, -5, size - 1) * rng.random(size - 1)) for size in (n, m))
        x[0] = y[0] = place[0]
        p, k = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        data = Distributions.from_list([np.stack([z] + [0 * z] * (k - 1), axis=1) for z in (x, y)], weights=[a, b])
        engine = PairwiseTransport(data, p=p, tol=1e-9)
        [cost], [gap] = engine.solve(np.eye(k)), engine.gaps
        assert gap >= 0
        assert abs(Fraction(float(cost)) - exact_on_a_line(x, y, a, b, p)) <= Fraction(float(cost)) * Fraction(
            gap + 1e-15
        )


@pytest.mark.parametrize("p", [17, 18, 20])
def test_high_powers_reach_the_tolerance(p):
    rng = np.random.default_rng(p)
    for _ in range(20):
        data = Distributions.from_list([rng.normal(size=(9, 3)), rng.normal(size=(11, 3))])
        engine = PairwiseTransport(data, p=p)
        [cost] = engine.solve(np.eye(3))
        true = wasserstein(data[0], data[1], p=p).cost
        assert engine.gaps[0] <= 1e-4 and true * (1 - 1e-5) <= cost <= true * (1 + 1.1e-4)


@pytest.mark.parametrize(
    "X, Y, p",
    [([1e27, 1e20], [1e21, -1e31, -1e33, 1e35], 12), ([1e28, -1e35], [1e28, 1e20, -1e32, -1e22, -1e36, 1e31], 12)],
)
def test_costs_that_are_no_numbers_are_refused(X, Y, p):
    "Compiled code that compares with NaN may not end, or may leave its arrays."
    data = Distributions.from_list([np.array(X)[:, None], np.array(Y)[:, None]], [0, 1])
    with pytest.raises(ValueError, match="finite"):
        pair_costs(data, np.array([[0, 1]]), p=p)
