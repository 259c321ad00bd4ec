# ruff: noqa: E402
"""One pair of clouds solved again and again while W moves: milliseconds of one thread, true errors, peak memory.

    python benchmarks/transport.py [--quick] [--p 2] [--layer] [--ggml-ot PYTHON] [--write]

Along a trajectory of steps that change W by 2 % each, per step and pair:
    cold    ours, without a start                      emd2   ot.emd2, given the cost matrix
    warm    ours, from the step before                 lsa    scipy linear_sum_assignment, given the cost matrix
    again   ours, when W has not moved                 ggml-ot  its compute_OT, in its own venv (equal sizes only)
    floor   all distances once, in single precision    gap, error  the largest certified gap and the largest true error
Ours starts from the embedded points; emd2 and lsa get the cost matrix for free. Times are CPU times of the thread (the
least of three for short ones), so that other jobs on the machine matter little. MB: peak memory above the start of a
fresh process; for emd2 with its cost matrix (Linux only). --p: costs are distances to this power.
--layer instead: a network of three layers trained by a loss of its costs, 200 pairs of 300 points, by `transport_cost`
and by the automatic differentiation of ot.emd2; wall-clock seconds an epoch after the first, on all cores.
"""

import os

for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
    os.environ[f"{name}_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import ot
from common import Table
from numba import njit
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from ggml_nb.solver.pairs import solve_pair

CASES = [  # n, m, rank, weighted
    *[(n, n, 5, False) for n in (100, 200, 300, 500, 1000, 2000)],
    *[(n, int(0.7 * n), 5, False) for n in (100, 300, 1000, 2000)],
    *[(n, int(0.7 * n), 5, True) for n in (100, 300, 1000, 2000)],
    *[(1000, 1000, k, False) for k in (2, 10, 20, 50)],
    *[(1000, 700, k, True) for k in (2, 50)],
]
QUICK = [(300, 300, 5, False), (1000, 1000, 5, False), (1000, 700, 5, False), (1000, 700, 5, True)]
HEAD = (
    "    n     m   k weighted     tol     cold     warm    again    floor     emd2      lsa  ggml-ot  x_emd2"
    "      gap    error  MB_ours  MB_emd2"
)


@njit(fastmath=True)
def floor_pass(X, Y):
    "Every distance once, X (n, k), Y (k, m): what any method that looks at all of them must pay."
    row, total = np.empty(Y.shape[1], X.dtype), X.dtype.type(0)
    for i in range(len(X)):
        row[:] = 0
        for q in range(len(Y)):
            for j in range(len(row)):
                row[j] += (X[i, q] - Y[q, j]) ** 2
        for j in range(len(row)):
            row[j] = np.sqrt(row[j])
        total += row.min()
    return total


def timed(function, *args, **kwargs):
    "Thread CPU time in ms, the least of three when it is short, and the result."
    best, repeat = np.inf, 3
    while repeat:
        start = time.thread_time()
        out = function(*args, **kwargs)
        best = min(best, 1e3 * (time.thread_time() - start))
        repeat = 0 if best > 200 else repeat - 1
    return best, out


def clouds(rng, n, m, d=20):
    "Four cell types, and a shift between the two clouds."
    mu = 2 * rng.normal(size=(4, d))
    P = mu[rng.integers(4, size=n)] + rng.normal(size=(n, d))
    Q = mu[rng.integers(4, size=m)] + rng.normal(size=(m, d)) + 0.3 * rng.normal(size=d)
    return P, Q


def trajectory(n, m, k, weighted, steps, seed=0):
    "Two clouds, their masses, and W's that differ by 2 % from step to step."
    rng = np.random.default_rng(seed)
    P, Q = clouds(rng, n, m)
    a, b = (rng.random(s) + 0.1 if weighted else np.ones(s) for s in (n, m))
    W = [rng.normal(size=(k, P.shape[1]))]
    for _ in range(steps - 1):
        move = rng.normal(size=W[0].shape)
        W.append(W[-1] + 0.02 * np.linalg.norm(W[-1]) / np.linalg.norm(move) * move)
    return P, Q, a / a.sum(), b / b.sum(), W


def high_water():
    "Largest memory of this process so far, MB."
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def layer(epochs=4):
    "The same training by POT and by the engine, at two step sizes: time of an epoch, and how far apart weights end."
    import torch

    from ggml_nb import Distributions, PairwiseTransport, transport_cost

    rng = np.random.default_rng(0)
    data = Distributions.from_list([clouds(rng, 300, 1)[0] for _ in range(21)], np.arange(21) % 3)
    pairs, X = np.transpose(np.triu_indices(21, 1))[:200], torch.from_numpy(data.points.astype(np.float64))
    same = torch.from_numpy(data.labels[pairs[:, 0]] == data.labels[pairs[:, 1]])

    def by_pot(Z):
        rows = [data.rows(i) for i in range(21)]
        both = ((Z[rows[i]], Z[rows[j]]) for i, j in pairs)
        return torch.stack([ot.emd2([], [], torch.cdist(x, y), numItermax=10**7) for x, y in both])

    def train(costs, lr):
        torch.manual_seed(0)
        widths, seconds = (20, 64, 64, 5), []
        layers = [part for n, m in zip(widths, widths[1:]) for part in (torch.nn.Linear(n, m), torch.nn.Tanh())][:-1]
        network = torch.nn.Sequential(*layers).double()
        adam = torch.optim.Adam(network.parameters(), lr=lr)
        for _ in range(epochs):
            start = time.process_time(), time.perf_counter()
            cost = costs(network(X))
            loss = torch.where(same, cost, (3 - cost).clamp(min=0)).mean()  # contrastive
            adam.zero_grad()
            loss.backward()
            adam.step()
            seconds.append((time.process_time() - start[0], time.perf_counter() - start[1]))
        return np.median(seconds[1:], axis=0), torch.cat([w.flatten() for w in network.parameters()]).detach()

    for lr in (1e-3, 3e-4):
        engine = PairwiseTransport(data, pairs, tol=1e-9)
        (ours, W), (theirs, V) = train(lambda Z, engine=engine: transport_cost(Z, engine), lr), train(by_pot, lr)
        ratio, apart = theirs / ours, (W - V).abs().max().item()
        for name, (cpu, wall) in (("ot.emd2", theirs), ("engine", ours)):
            yield f"lr {lr:.0e}, {name:7s}: {cpu:6.3f} s of CPU, {wall:6.3f} s an epoch"
        yield f"lr {lr:.0e}: by CPU {ratio[0]:.1f}, by clock {ratio[1]:.1f} times as fast; weights differ {apart:.0e}"


def peaks(*case):
    "MB above the start of one cold and one warm step, ours and emd2's; run in a process of its own."
    P, Q, a, b, Ws = trajectory(*case, steps=2)
    state, above = None, []
    for solver in ("ours", "emd2"):
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        before = high_water()
        for W in Ws:
            X, Y = P @ W.T, Q @ W.T
            if solver == "ours":
                state = solve_pair(X, Y, a, b, state)[2]
            else:
                ot.emd2(a, b, cdist(X, Y), numItermax=10**8)
        above.append(high_water() - before)
    return above


def fresh_peaks(*case):
    "`peaks` in a new process."
    done = subprocess.run(
        [sys.executable, __file__, "--peaks", json.dumps(case)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def ggml_ot(python, P, Q, Ws):
    "Milliseconds of ggml-ot's compute_OT per pair, run by the Python of its own venv."
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        np.savez(path, P=P, Q=Q, W=np.array(Ws))
        script = Path(__file__).with_name("ggml_ot_time.py")
        done = subprocess.run([python, script, path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run(case, tol, steps, python, p=1):
    "One line of the table."
    n, m, k, weighted = case
    P, Q, a, b, Ws = trajectory(*case, steps)
    state, rows = None, []
    for W in Ws:
        X, Y = P @ W.T, Q @ W.T
        ours, (cost, gap, new) = timed(solve_pair, X, Y, a, b, state, tol, p)
        again, _ = timed(solve_pair, X, Y, a, b, new, tol, p)
        x, y = X.astype(np.float32), np.ascontiguousarray(Y.T.astype(np.float32))
        floor, _ = timed(floor_pass, x, y)
        C, state = cdist(X, Y) ** p, new
        emd, truth = timed(ot.emd2, a, b, C, numItermax=10**8)
        lsa = timed(linear_sum_assignment, C)[0] if n == m and not weighted else np.nan
        error = cost / truth - 1
        assert -1e-12 <= error <= gap + 1e-12, "the certificate is wrong"
        rows.append((ours, again, floor, emd, lsa, gap, error))
    rows = np.array(rows)
    warm, again, floor, emd, lsa = rows[1:, :5].mean(axis=0)
    other = ggml_ot(python, P, Q, Ws[:3]) if python and n == m and not weighted and p == 1 else np.nan
    values = [rows[0, 0], warm, again, floor, emd, lsa, other]
    return (
        f"{n:5d} {m:5d} {k:3d} {'yes' if weighted else 'no':>8s} {tol:7.0e} "
        + " ".join(f"{ms:8.2f}" for ms in values)
        + f" {emd / warm:7.1f} {rows[:, 5].max():8.1e} {max(rows[:, 6].max(), 0):8.1e}"
        + "".join(f" {mb:8.2f}" for mb in fresh_peaks(*case))
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="four cases only")
    parser.add_argument("--ggml-ot", metavar="PYTHON", help="Python of a venv with benchmarks/requirements-ggml-ot.txt")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--write", action="store_true", help="keep the table as results/transport.txt")
    parser.add_argument("--p", type=float, default=1.0, help="power of the distance")
    parser.add_argument("--layer", action="store_true", help="training of a network instead")
    parser.add_argument("--peaks", help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for tol in (1e-4, 1e-9):
        solve_pair(np.ones((2, 1)), np.eye(2)[:, :1], np.ones(2) / 2, np.ones(2) / 2, None, tol)  # compile
    if args.peaks:
        print(json.dumps(peaks(*json.loads(args.peaks))))
        raise SystemExit
    if args.layer:
        table = Table("A network of three layers, 200 pairs of 300 x 300 points; see benchmarks/transport.py")
        for line in layer():
            table.add(line)
        if args.write:
            table.write("layer")
        raise SystemExit
    floor_pass(np.ones((2, 1), np.float32), np.ones((1, 2), np.float32))
    table = Table(
        f"Milliseconds of one thread per pair; W moves by 2 % a step; p = {args.p:g}. "
        "Columns: see benchmarks/transport.py"
    )
    table.add(HEAD)
    for case in QUICK if args.quick else CASES:
        table.add(run(case, 1e-4, args.steps, args.ggml_ot, args.p))
    for case in QUICK[1::2]:
        table.add(run(case, 1e-9, args.steps, None, args.p))
    if args.write:
        table.write("transport" if args.p == 1 else f"transport_p{args.p:g}")
