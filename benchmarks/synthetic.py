"""The paper's synthetic data: held-out figures of GGML's defaults over new draws, and seconds of a fit beside ggml-ot.

    python benchmarks/synthetic.py [--draws 10] [--ggml-ot PYTHON] [--fits 2] [--write]

Each draw is split half/half once. `wall` and `cpu` (of all threads) are the seconds of a fit, and so are those of
ggml-ot, which runs with its defaults in a process of its own on the first --fits draws; `times` is how much longer."""

import argparse
import time
import warnings

import numpy as np
from accuracy import fit_ggml_ot
from common import Table

from ggml_nb import GGML, knn_score, make_distributions, pairwise_wasserstein, split_distributions
from ggml_nb.evaluation.evaluation import held_out_scores

warnings.simplefilter("ignore")


def bench(dim, draw, python):
    "Our figures for one draw, and those of ggml-ot where its Python is given."
    data = make_distributions(dim, seed=1000 + draw)
    train, test = split_distributions(data, 1, seed=draw)[0]
    half, wall, cpu = data.subset(train), time.perf_counter(), time.process_time()
    model = GGML(random_state=draw).fit(half)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    scores = held_out_scores(model.pairwise(data), data.labels, train, test)
    row = dict(accuracy=scores["accuracy"], ari=scores["ari"], wall=wall, cpu=cpu)
    if python:
        W, epochs, *its = fit_ggml_ot(python, np.inf, half, draw)
        accuracy = knn_score(pairwise_wasserstein(data, W), data.labels, train, test)
        row |= {"ggml-ot": accuracy, "epochs": epochs, "its wall": its[0], "its cpu": its[1]}
        row |= {"times by wall": its[0] / wall, "times by cpu": its[1] / cpu}
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--ggml-ot", metavar="PYTHON", help="Python of a venv with ggml-ot")
    parser.add_argument("--fits", type=int, default=2, help="draws that ggml-ot is timed on")
    parser.add_argument("--write", action="store_true", help="keep the table as results/synthetic.txt")
    args = parser.parse_args()
    GGML(max_epochs=1).fit(make_distributions(2, n_points=5))  # compile
    table = Table(
        f"GGML's defaults on {args.draws} new draws, half/half; seconds of one fit. See benchmarks/synthetic.py"
    )
    for dim in (2, 200):
        rows = [bench(dim, draw, args.ggml_ot if draw < args.fits else None) for draw in range(args.draws)]
        means = [f"{name} {np.mean([r[name] for r in rows if name in r]):.3f}" for name in rows[0]]
        table.add(f"Synth{dim}D  " + "  ".join(means) + f"  (lowest accuracy {min(r['accuracy'] for r in rows):.3f})")
    if args.write:
        table.write("synthetic")
