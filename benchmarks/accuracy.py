"""Held-out balanced accuracy of weighted 5-NN on real sets: half/half splits, donor-wise where donors are given.

Columns: OT under the Euclidean metric, 5-NN on sample means, the closed-form start alone, GGML with its defaults, and
ggml-ot with its defaults on bags of equal size (optional; --limit cuts its 30 epochs to about so many seconds a fit).
Nothing is tuned per set. At most --points points of each sample."""

import argparse
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import anndata
import numpy as np
from common import Table
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score
from sklearn.metrics.pairwise import euclidean_distances
from tqdm import tqdm

from ggml_nb import GGML, from_anndata, knn_score, pair_costs, pairwise_wasserstein, split_distributions
from ggml_nb.estimator.start import spectral_start

warnings.simplefilter("ignore")


def load(path, points):
    "A file as Distributions, all features, and the mean of each sample."
    donor = "donor" if "donor" in anndata.read_h5ad(path, backed="r").obs else None
    data = from_anndata(path, "sample", "label", group_key=donor, n_cells=points, gene_filter=None)
    means = np.stack([np.asarray(data[i].mean(axis=0)).ravel() for i in range(len(data))])
    return data, means


def fit_ggml_ot(python, limit, train, seed):
    "W, epochs, wall-clock and CPU seconds of ggml-ot, from a process of its own venv."
    rng, clouds = np.random.default_rng(seed), [train[i] for i in range(len(train))]
    size = int(np.clip(np.median([c.shape[0] for c in clouds]), 5, None))
    rows = [rng.choice(c.shape[0], size, replace=c.shape[0] < size) for c in clouds]
    bags = [c[r].toarray() if sparse.issparse(c) else c[r] for c, r in zip(clouds, rows)]
    with tempfile.TemporaryDirectory() as folder:
        job, out = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(job, bags=np.stack(bags), labels=train.labels, limit=limit)
        subprocess.run([python, Path(__file__).with_name("ggml_ot_fit.py"), job, out], check=True, capture_output=True)
        with np.load(out) as result:
            return result["W"], *(result[name].item() for name in ("epochs", "wall", "cpu"))


def kept_ggml_ot(args, name, train, seed):
    "W and epochs of ggml-ot, from args.keep if an earlier run left them there: it does not change when ours does."
    file = args.keep and args.keep / f"{name}.npz"
    if file and file.exists():
        with np.load(file) as result:
            return result["W"], result["epochs"].item()
    W, epochs, *_ = fit_ggml_ot(args.ggml_ot, args.limit, train, seed)
    if file:
        args.keep.mkdir(exist_ok=True)
        np.savez(file, W=W, epochs=epochs)
    return W, epochs


def between(data, W, train, test):
    "OT distances under d_W from the test to the training distributions; the others, which k-NN does not need, are 0."
    pairs, D = np.array([(i, j) for i in test for j in train]), np.zeros((len(data), len(data)))
    D[tuple(pairs.T)] = pair_costs(data, pairs, W)
    return D


def bench(path, args):
    "Mean over splits of each column, and seconds of a GGML fit."
    data, means = load(path, args.points)
    euclidean, flat = pairwise_wasserstein(data), euclidean_distances(means)
    scores, epochs = [], []
    halves = [(s, i, *h) for s in args.seed for i, h in enumerate(split_distributions(data, args.splits, seed=s))]
    for seed, split, train, test in halves:
        part = data.subset(train)

        def score(D, train=train, test=test):
            return knn_score(D, data.labels, train, test, scoring=balanced_accuracy_score)

        start = spectral_start(part, seed=seed)
        began = time.perf_counter()
        model = GGML(random_state=seed).fit(part)
        seconds = time.perf_counter() - began
        learned = (between(data, W, train, test) for W in (start.axes @ start.frame, model.components_))
        row = [score(euclidean), score(flat), *map(score, learned), seconds]
        if args.ggml_ot:
            W, count = kept_ggml_ot(args, f"{path.stem}-{args.points}-{seed}-{split}", part, seed)
            row.append(score(between(data, W, train, test)))
            epochs.append(count)
        scores.append(row)
    return np.mean(scores, axis=0), epochs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .h5ad files with obs sample, label and perhaps donor")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--points", type=int, default=150)
    parser.add_argument("--seed", type=int, nargs="+", default=[100], help="each gives its own splits")
    parser.add_argument("--sets", nargs="*", help="names of files without .h5ad, default all")
    parser.add_argument("--ggml-ot", metavar="PYTHON", help="Python of a venv with ggml-ot")
    parser.add_argument("--limit", type=float, default=np.inf, help="seconds for a fit of ggml-ot, default all epochs")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where metrics of ggml-ot are kept between runs")
    parser.add_argument("--write", metavar="NAME", help="keep the table as results/NAME.txt")
    args = parser.parse_args()
    columns = ["euclidean", "means", "start", "ggml", "seconds"] + ["ggml-ot"] * bool(args.ggml_ot)
    seeds = ", ".join(map(str, args.seed)) + ", each" * (len(args.seed) > 1)
    about = f"balanced accuracy, {args.splits} half/half splits (seed {seeds}), <= {args.points} points a sample"
    table, rows = Table(about), []
    table.add(f"{'set':24s}" + "".join(f"{c:>10s}" for c in columns))
    files = [f for f in sorted(args.data.glob("*.h5ad")) if not args.sets or f.stem in args.sets]
    for file in tqdm(files):
        row, epochs = bench(file, args)
        rows.append(row)
        ran = f"   {min(epochs)} to {max(epochs)} epochs" if epochs else ""
        table.add(f"{file.stem:24s}" + "".join(f"{v:10.3f}" for v in row) + ran)
        if args.write:  # what came so far, should it be interrupted
            table.write(args.write)
    table.add(f"{'mean':24s}" + "".join(f"{v:10.3f}" for v in np.mean(rows, axis=0)))
    if args.write:
        table.write(args.write)
