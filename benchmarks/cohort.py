"""A thousand patients, 50 points each in 20 dimensions: seconds and peak memory of a fit and of all distances; Dask.

    python benchmarks/cohort.py [--patients 1000] [--write]

Each row runs in a process of its own, with the compiled code of an earlier one. `wall` is on all cores, `cpu` the time
of all threads, `MB` the peak memory above that after the imports (Linux only)."""

import argparse
import json
import subprocess
import sys
import time
import warnings

import numpy as np
from common import Table
from transport import high_water

JOBS = ("fit", "distances", "place", "thread", "dask")


def cohort(n, points=50, dim=20):
    "Clouds of four kinds of points; in half of them one kind has moved."
    from ggml_nb import Distributions

    rng = np.random.default_rng(0)
    kinds = 2 * rng.normal(size=(4, dim))
    moved = kinds + 0.7 * (np.arange(4) == 0)[:, None] * rng.normal(size=dim)
    clouds = [(kinds, moved)[i % 2][rng.integers(4, size=points)] + rng.normal(size=(points, dim)) for i in range(n)]
    return Distributions.from_list(clouds, np.arange(n) % 2)


def steps(engine, W):
    "Wall seconds of a first solve and of four steps of 2 % with their gradients."
    wall, weights = time.perf_counter(), np.ones(len(engine.pairs))
    for step in range(5):
        engine.solve(W * (1 + 0.02 * np.random.default_rng(step).normal(size=W.shape) * (step > 0)))
        engine.grad(weights)
    return time.perf_counter() - wall


def on_dask(data, W):
    "`steps` by two workers of one thread each, which have the compiled code."
    from dask.distributed import Client, LocalCluster

    from ggml_nb.solver.cluster import DaskTransport

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        DaskTransport(data).solve(W)
        return steps(DaskTransport(data), W)


def bench(job, n):
    "Wall seconds, CPU seconds, MB and what came out."
    from ggml_nb import GGML

    warnings.simplefilter("ignore")
    GGML(max_epochs=1, random_state=0).fit(cohort(8))  # compile, or load
    data = cohort(n)
    W = np.random.default_rng(1).normal(size=(5, 20))
    before, wall, cpu = high_water(), time.perf_counter(), time.process_time()
    if job == "fit":
        out = len(GGML(max_epochs=5, random_state=0).fit(data).history_)
    elif job == "distances":
        from ggml_nb import pairwise_wasserstein

        out = len(pairwise_wasserstein(data, W)) ** 2
    elif job in ("thread", "dask"):
        from ggml_nb import PairwiseTransport

        few, out = data.subset(np.arange(n // 3)), 2 if job == "dask" else 1
        seconds = on_dask(few, W) if job == "dask" else steps(PairwiseTransport(few, n_jobs=1), W)
        return seconds, time.process_time() - cpu, high_water() - before, out
    else:
        model = GGML(max_epochs=1, random_state=0).fit(data.subset(np.arange(n - 20)))
        wall, cpu = time.perf_counter(), time.process_time()
        out = model.score(data.subset(np.arange(n - 20, n)))
    return time.perf_counter() - wall, time.process_time() - cpu, high_water() - before, out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--write", action="store_true", help="keep the table as results/cohort.txt")
    parser.add_argument("--one", choices=JOBS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps([float(x) for x in bench(args.one, args.patients)]))
        sys.exit()
    table = Table(f"{args.patients} clouds of 50 points in 20 dimensions, all cores. See benchmarks/cohort.py")
    means = {
        "fit": "5 epochs of a fit",
        "distances": "all distances to 1e-9",
        "place": "predict 20 of them from the others, accuracy",
        "thread": "5 steps over all pairs of a third, 1 thread",
        "dask": "the same on Dask, 2 processes",
    }
    for job in JOBS:
        call = [sys.executable, __file__, "--one", job, "--patients", str(args.patients)]
        wall, cpu, MB, out = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
        table.add(f"{means[job]:45s} wall {wall:7.2f}  cpu {cpu:7.2f}  MB {MB:7.0f}  out {out:g}")
    if args.write:
        table.write("cohort")
