"""The paper's Table 3 beside ggml-ot: seconds of an epoch on thirty distributions of Synth200D, by rank and t.

    python benchmarks/table3.py --ggml-ot PYTHON [--limit 300] [--write]

Ours is the page (lesson 17) with the engine for its costs, ggml-ot its own procedure, asked for batches of 128,
both from a cold start; one epoch of each, in turn. Seconds of the clock, and of all threads (cpu). `steps`: those
of our epoch, one for each 128 triplets. An epoch of ggml-ot goes through the distributions, not through triplets,
and its seconds hardly depend on t: it seems to be one step over all pairs. So compare seconds a step, and remember
that a step of ours sees some of the pairs. A cell of ggml-ot that takes more than --limit seconds of the clock,
or is killed for memory, is nan."""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from common import Table

from ggml_nb import PairwiseTransport, make_distributions, train_ggml

RANKS, NEIGHBORS = (5, 10, 50, 100, 200), (1, 3, 5, 7, 9)


def ours(data, k, t):
    "Wall-clock and CPU seconds of one epoch of the page, with the engine."
    start, cpu = time.perf_counter(), time.process_time()
    train_ggml(data, rank=k, n_neighbors=t, epochs=1, costs=PairwiseTransport(data))
    return time.perf_counter() - start, time.process_time() - cpu


def theirs(python, data, k, t, limit):
    "The same of ggml-ot, in a process of its own; nan if it takes longer than the limit."
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder, "in.npz")
        bags = np.stack([data[i] for i in range(len(data))])
        np.savez(job, bags=bags, labels=data.labels, cell=(k, t))
        command = [python, Path(__file__).with_name("ggml_ot_epochs.py"), job]
        try:
            run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit)
        except (subprocess.TimeoutExpired, subprocess.CalledProcessError):  # killed for memory, for example
            return np.nan, np.nan
        return json.loads(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ggml-ot", required=True, help="Python of a venv with ggml-ot")
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--ranks", type=int, nargs="+", default=RANKS)
    parser.add_argument("--write", action="store_true", help="keep the table as results/table3.txt")
    args = parser.parse_args()
    data = make_distributions(200, seed=0)
    ours(data, 2, 1)  # compiles, or loads
    table = Table("Seconds of one epoch on Synth200D, 30 x 300 points; see benchmarks/table3.py")
    names = ("ours", "ours_cpu", "steps", "ggml-ot", "ggml-ot_cpu")
    table.add(f"{'rank':>5s} {'t':>3s}" + "".join(f"{name:>13s}" for name in names))
    for k in args.ranks:
        for t in NEIGHBORS:
            steps = -(-len(data) * t**2 * 2 // 128)  # three classes
            figures = (*ours(data, k, t), steps, *theirs(args.ggml_ot, data, k, t, args.limit))
            table.add(f"{k:5d} {t:3d}" + "".join(f"{value:13.2f}" for value in figures))
    if args.write:
        table.write("table3")
