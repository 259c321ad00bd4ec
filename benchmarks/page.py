"""The page (lesson 17) on the paper's synthetic data, with a constant and with a decaying step: held-out k-NN.

    python benchmarks/page.py [--splits 10] [--write]

Full size (30 clouds of 300 points), half/half splits of one draw; the exact engine stands in for POT."""

import argparse
import time
import warnings

import numpy as np
from common import Table

from ggml_nb import (
    PairwiseTransport,
    knn_score,
    make_distributions,
    pairwise_wasserstein,
    split_distributions,
    train_ggml,
)

warnings.simplefilter("ignore")
RATES = {
    "constant (the paper's)": {"lr": 0.01, "decay": 1, "epochs": 30},
    "constant, longer": {"lr": 0.01, "decay": 1, "epochs": 50},
    "decaying (the default)": {},
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="keep the table as results/page.txt")
    args = parser.parse_args()
    table = Table(f"train_ggml, k = 5, margin 10, t = 5, {args.splits} half/half splits. See benchmarks/page.py")
    for dim in (2, 200):
        data = make_distributions(dim, seed=0)
        for name, rate in RATES.items():
            found, began = [], time.perf_counter()
            for s, (train, test) in enumerate(split_distributions(data, args.splits, seed=0)):
                half = data.subset(train)
                W = train_ggml(half, seed=s, costs=PairwiseTransport(half), **rate)
                found.append(knn_score(pairwise_wasserstein(data, W), data.labels, train, test))
            seconds = (time.perf_counter() - began) / args.splits
            spread = f"{np.mean(found):.3f} (+- {np.std(found):.3f}, {min(found):.2f} to {max(found):.2f})"
            table.add(f"Synth{dim}D  {name:24} accuracy {spread}  {seconds:.0f} s a split")
    if args.write:
        table.write("page")
