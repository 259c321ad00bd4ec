"""Held-out balanced accuracy of all baselines on real sets: half/half splits, donor-wise where donors are given.

A row a set and method: mean over splits, and Jeffreys' interval over donors (lesson 42). Compositions, pseudobulks by
type and PILOT need cell types: a column `cell_type` of obs, else they are left out. Nothing is tuned per set. At most
--points points of each sample. Rows that an earlier run finished are read from --cache."""

import argparse
import time
import warnings
from pathlib import Path

import anndata
from common import Table
from tqdm import tqdm

from ggml_nb import accuracy_interval, compare_metrics, from_anndata

warnings.simplefilter("ignore")
METHODS = ["euclidean", "pca", "pseudobulk", "composition", "composition-knn", "pseudobulk-by-type", "pilot"]
METHODS += ["ggml-start", "ggml"]


def load(path, points):
    "A file as Distributions, all features, and the types of its cells or None."
    obs = anndata.read_h5ad(path, backed="r").obs
    donor = "donor" if "donor" in obs else None
    data = from_anndata(path, "sample", "label", group_key=donor, n_cells=points, gene_filter=None)
    return data, obs.cell_type.astype(str)[data.point_names].to_numpy() if "cell_type" in obs else None


def bench(path, args):
    "Lines of the table for one set."
    data, types = load(path, args.points)
    how = {"n_splits": args.splits, "seed": args.seed, "cache": args.cache, "cell_types": types}
    rows, answers = compare_metrics(data, METHODS, return_answers=True, **how)
    score, found = rows.groupby("method").balanced_accuracy.mean(), answers.groupby("method", sort=False)
    donors = len(set(data.donors))
    for method, said in found:
        _, low, high = accuracy_interval(said)
        head = f"{path.stem:24s}{len(data):5d}{donors:7d}{len(data.class_names):8d}  {method:20s}"
        yield head + f"{score[method]:8.3f}{low:8.3f}{high:8.3f}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .h5ad files with obs sample, label and perhaps donor")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--points", type=int, default=150)
    parser.add_argument("--seed", type=int, default=400)
    parser.add_argument("--sets", nargs="*", help="names of files without .h5ad, default all")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where finished rows are kept between runs")
    parser.add_argument("--write", metavar="NAME", help="keep the table as results/NAME.txt")
    args = parser.parse_args()
    table = Table(
        f"balanced accuracy, {args.splits} half/half splits (seed {args.seed}), <= {args.points} points a sample; "
        "low and high: 95 % over donors"
    )
    table.add(f"{'set':24s}{'n':>5s}{'donors':>7s}{'classes':>8s}  {'method':20s}{'mean':>8s}{'low':>8s}{'high':>8s}")
    for file in tqdm(sorted(f for f in args.data.glob("*.h5ad") if not args.sets or f.stem in args.sets)):
        began = time.perf_counter()
        for line in bench(file, args):
            table.add(line)
        table.add(f"# {file.stem}: {time.perf_counter() - began:.0f} s")
        if args.write:  # what came so far, should it be interrupted
            table.write(args.write)
