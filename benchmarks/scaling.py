"""Seconds and peak memory of training against patients, cells, genes and rank, with fitted slopes.

    python benchmarks/scaling.py [--only patients|cells|genes|rank|none] [--threads] [--big] [--fit] [--write]

Every line is a fit of GGML in a process of its own, on simulated CSR counts (23 % non-zeros) from memory:
    data_MB  the CSR matrix                                    start    seconds before the first epoch: spectral start
    first    seconds of the first epoch, some pairs cold       epoch    median seconds of an epoch after the first
    pass     median seconds of one step over *all* pairs after the first, solve and gradient, while W moves by 2 %
    pass_cpu the same in CPU seconds of all threads            peak_MB  peak memory of the process
Wall-clock times on all cores: run it on a quiet machine. --big adds 20 patients x 1000 cells x 5000 genes and
131 patients x 1000 cells x 8000 genes; --fit fits the latter to convergence.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
from common import Table
from scipy import sparse

BASE = dict(patients=20, cells=400, genes=2000, rank=5)
SWEEPS = dict(
    patients=[10, 20, 40, 80],
    cells=[100, 200, 400, 800, 1600],
    genes=[500, 1000, 2000, 4000, 8000],
    rank=[2, 5, 10, 20, 50],
)
BIG = [dict(patients=20, cells=1000, genes=5000, rank=5), dict(patients=131, cells=1000, genes=8000, rank=5)]
HEAD = "patients cells genes rank  data_MB    start    first    epoch     pass pass_cpu  epochs     loss  peak_MB"


def simulate(patients, cells, genes, seed=0, density=0.23):
    "CSR counts of six cell types, two classes that differ in 50 genes of two types, and patients who differ too."
    rng = np.random.default_rng(seed)
    profile = rng.gamma(2, 0.5, (6, genes)).astype(np.float32)
    marked = rng.choice(genes, 50, replace=False)
    bound = int(1.2 * density * genes * cells * patients)
    indices, data, indptr = np.empty(bound, np.int32), np.empty(bound, np.float32), [0]
    for p in range(patients):
        own = profile * rng.lognormal(0, 0.3, genes).astype(np.float32)
        own[np.ix_([0, 1], marked)] *= 3 if p % 2 else 1
        for kind in rng.integers(6, size=cells):
            at = (
                np.cumsum(1 + rng.poisson(1 / density - 1, int(1.2 * density * genes))) - 1
            )  # gaps between the non-zeros
            at, end = at[at < genes], indptr[-1]
            indices[end : end + len(at)] = at
            data[end : end + len(at)] = own[kind, at] * rng.gamma(2, 0.5, len(at))
            indptr.append(end + len(at))
    end = indptr[-1]
    return sparse.csr_matrix((data[:end], indices[:end], np.array(indptr)), shape=(patients * cells, genes))


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(patients, cells, genes, rank, epochs=4, converge=False):
    "Fit, then pass over all pairs; run in a process of its own."
    from ggml_nb import GGML, Distributions

    warnings.simplefilter("ignore")
    warm_up = Distributions.from_list([np.eye(3) + i for i in range(4)], [0, 0, 1, 1])
    GGML(rank=1, max_epochs=1, random_state=0).fit(warm_up)  # compile
    points = simulate(patients, cells, genes)
    row = dict(patients=patients, cells=cells, genes=genes, rank=rank)
    row["data_MB"] = (points.data.nbytes + points.indices.nbytes) / 1e6
    data = Distributions(points, np.repeat(np.arange(patients), cells), np.arange(patients) % 2)
    options = {} if converge else dict(max_epochs=epochs, patience=10**6, margin=10.0)  # no early end
    start = time.perf_counter()
    model = GGML(rank=rank, random_state=0, **options).fit(data)
    row["total"], seconds = time.perf_counter() - start, model.history_["seconds"]
    row.update(
        start=row["total"] - seconds.sum(),
        first=seconds[0],
        epoch=np.median(seconds[1:] if len(seconds) > 1 else seconds),
    )
    row.update(epochs=len(seconds), loss=model.history_["loss"][-1])
    row["pass"] = row["pass_cpu"] = np.nan
    if patients <= 80:  # else minutes
        row["pass"], row["pass_cpu"] = all_pairs_pass(data, model.components_[:rank])  # without the plain rows
    return {key: float(value) for key, value in {**row, "peak_MB": peak_mb()}.items()}


def all_pairs_pass(data, W, steps=4):
    "Median wall and CPU seconds of a warm step over all pairs."
    from ggml_nb import PairwiseTransport

    rng, times, transport = np.random.default_rng(0), [], PairwiseTransport(data)
    for _ in range(steps):
        start, cpu = time.perf_counter(), time.process_time()
        transport.solve(W)
        transport.grad(np.ones(len(transport.pairs)))
        times.append((time.perf_counter() - start, time.process_time() - cpu))
        move = rng.normal(size=W.shape) * np.abs(W)
        W = W + 0.02 * np.linalg.norm(W) / np.linalg.norm(move) * move
    return np.median(times[1:], axis=0)


def two_threads(patients=12, cells=1000, steps=5, rounds=7):
    "Seconds of a warm step over all pairs with one thread and with two, in turn."
    from ggml_nb import Distributions, PairwiseTransport

    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(cells, 20)) + 0.3 * rng.normal(size=20) for _ in range(patients)]
    data, seconds = Distributions.from_list(clouds, np.arange(patients) % 2), {1: [], 2: []}
    start = rng.normal(size=(5, 20))
    for turn in range(rounds):
        for jobs in seconds:
            W, moves = start, np.random.default_rng(turn)
            transport = PairwiseTransport(data, n_jobs=jobs)
            transport.solve(W)
            for _ in range(steps):
                move = moves.normal(size=W.shape)
                W = W + 0.02 * np.linalg.norm(W) / np.linalg.norm(move) * move
                began = time.perf_counter()
                transport.solve(W)
                seconds[jobs].append(time.perf_counter() - began)
    return np.reshape(seconds[1], (rounds, steps)), np.reshape(seconds[2], (rounds, steps))


def fresh(**case):
    "`measure` in a new process."
    done = subprocess.run([sys.executable, __file__, "--one", json.dumps(case)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def line(row):
    seconds = " ".join(f"{row[name]:8.2f}" for name in ("start", "first", "epoch", "pass", "pass_cpu"))
    shape = f"{row['patients']:8.0f} {row['cells']:5.0f} {row['genes']:5.0f} {row['rank']:4.0f} {row['data_MB']:8.0f}"
    return f"{shape} {seconds} {row['epochs']:7.0f} {row['loss']:8.3f} {row['peak_MB']:8.0f}"


def slope(rows, by, what):
    "Least-squares slope of log what against log by."
    x, y = np.log([[row[key] for row in rows] for key in (by, what)])
    return np.polyfit(x, y, 1)[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*SWEEPS, "none"], help="one sweep, or none")
    parser.add_argument("--threads", action="store_true", help="also two threads against one")
    parser.add_argument("--big", action="store_true", help="also the two large cases (6 GB of memory, some minutes)")
    parser.add_argument("--fit", action="store_true", help="also the largest to convergence")
    parser.add_argument("--write", action="store_true", help="keep the table as results/scaling.txt")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(**json.loads(args.one))))
        raise SystemExit
    table = Table("Seconds and MB of training, all cores. Columns: see benchmarks/scaling.py")
    fresh(patients=4, cells=20, genes=100, rank=2)  # so that the compiled kernels are in the cache
    for by, values in SWEEPS.items():
        if args.only in (None, by):
            table.add(f"# by {by}")
            table.add(HEAD)
            rows = []
            for value in values:
                rows.append(fresh(**{**BASE, by: value}))
                table.add(line(rows[-1]))
            slopes = ", ".join(
                f"{what} {slope(rows, by, what):.2f}" for what in ("start", "epoch", "pass_cpu", "peak_MB")
            )
            table.add(f"# slopes by {by}: {slopes}")
    if args.threads:
        one, two = two_threads()
        ratio = np.median(one, axis=1) / np.median(two, axis=1)
        seconds, middle = [f"{np.median(x):.3f} s" for x in (one, two)], np.median(one) / np.median(two)
        table.add(f"# 66 pairs of 1000 x 1000, warm: {seconds[0]} with one thread, {seconds[1]} with two")
        table.add(f"# ratio {middle:.2f}; of {len(ratio)} turns {', '.join(f'{r:.2f}' for r in sorted(ratio))}")
    if args.big:
        table.add("# large")
        table.add(HEAD)
        for case in BIG:
            table.add(line(fresh(**case)))
    if args.fit:
        row = fresh(**BIG[-1], converge=True)
        table.add(
            f"# fit to convergence, {row['patients']:.0f} patients: {row['total']:.0f} s, {row['epochs']:.0f} epochs"
        )
    if args.write:
        table.write("scaling")
