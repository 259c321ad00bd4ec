"""How far should a metric learned from few patients lean on the plain one? Held-out balanced accuracy of weighted 5-NN.

python shrinkage.py DATA_FOLDER --write

Columns: OT under the Euclidean metric as it is; the default's learned rows with a share rho of the plain, unit-free
metric below them that is 0, h/6, h/3 (the default), h/2, .1, .25 or .5, h the share of chance; the plain metric alone.
Half/half splits by donor, at most --clouds distributions a side and --points points of each: few, for few is where it
matters. Last lines: means, the worst loss against Euclid, and the rule that is best on the other sets, on each set.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from accuracy import load
from common import Table
from sklearn.metrics import balanced_accuracy_score
from tqdm import tqdm

from ggml_nb import GGML, knn_score, pair_costs, split_distributions
from ggml_nb.estimator.start import lean_on_plain, spectral_start

SMALL = "bcrxl_cytof covid_pbmc_pca eeg_alcoholism flowcap_aml gbm_panobinostat hiv_bcell_flow mil_musk1 ms_tcr"
SMALL = [*SMALL.split(), "rudqvist_tcr", "tnbc_mibi_nbhd", "vowels_peterson"]
RULES = {
    "0": lambda h: 0.0,
    "h/6": lambda h: h / 6,
    "h/3": lambda h: h / 3,
    "h/2": lambda h: h / 2,
    ".1": lambda h: 0.1,
    ".25": lambda h: 0.25,
    ".5": lambda h: 0.5,
}


def metrics(part, seed):
    "W of each column."
    yield np.eye(part.d)
    start = spectral_start(part, seed=seed)
    W = GGML(random_state=seed, shrinkage=0).fit(part).components_
    for rule in RULES.values():
        share = rule(start.chance)
        yield lean_on_plain(W, start.plain, part.points, share) if share else W
    yield start.plain


def bench(path, args):
    "A row for each split."
    data, rows = load(path, args.points)[0], []
    for split, halves in enumerate(split_distributions(data, args.splits, seed=args.seed)):
        rng = np.random.default_rng(split)
        train, test = (np.sort(rng.permutation(half)[: args.clouds]) for half in halves)
        pairs, row = np.array([(i, j) for i in test for j in train]), []
        for W in metrics(data.subset(train), args.seed):
            D = np.zeros((len(data), len(data)))
            D[tuple(pairs.T)] = pair_costs(data, pairs, W)
            row.append(knn_score(D, data.labels, train, test, scoring=balanced_accuracy_score))
        rows.append(row)
    return np.array(rows)


def left_out_choice(means):
    "Of each set, the accuracy of the rule that is best on all others."
    rules = means[:, 1:-1]
    chosen = [np.delete(rules, i, axis=0).mean(axis=0).argmax() for i in range(len(rules))]
    return rules[np.arange(len(rules)), chosen]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .h5ad files with obs sample, label and perhaps donor")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--points", type=int, default=150)
    parser.add_argument("--clouds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=800)
    parser.add_argument("--sets", nargs="*", default=SMALL, help="names of files without .h5ad")
    parser.add_argument("--write", action="store_true", help="keep the table as results/shrinkage.txt")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    size = f"<= {args.clouds} distributions a side, <= {args.points} points"
    table = Table(f"balanced accuracy, {args.splits} half/half splits (seed {args.seed}), {size}")
    table.add(f"{'set':24s}" + "".join(f"{column:>8s}" for column in ("euclid", *RULES, "plain")))
    means = []
    for name in tqdm(args.sets):
        means.append(bench(args.data / f"{name}.h5ad", args).mean(axis=0))
        table.add(f"{name:24s}" + "".join(f"{v:8.3f}" for v in means[-1]))
    means = np.array(means)
    table.add(f"{'mean':24s}" + "".join(f"{v:8.3f}" for v in means.mean(axis=0)))
    table.add(f"{'worst against euclid':24s}" + "".join(f"{v:8.3f}" for v in (means - means[:, :1]).min(axis=0)))
    table.add(f"rule chosen on the other sets: {left_out_choice(means).mean():.3f}")
    if args.write:
        table.write("shrinkage")
