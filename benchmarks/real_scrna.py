"""Donor-wise held-out accuracy of weighted 5-NN on the real single-cell sets, with permutation p-values.

Half/half splits that keep donors whole; GGML with its defaults beside OT under the Euclidean metric; p from metrics
learned on permuted labels (swapped within donors where a donor has several classes). At most --points cells a sample,
all features."""

import argparse
import time
import warnings
from pathlib import Path

import anndata
from common import Table

from ggml_nb import compare_metrics, from_anndata, permutation_test

warnings.simplefilter("ignore")
SETS = ["gbm_panobinostat", "covid_pbmc_pca", "brain_glia_celltype", "onek1k_celltype"]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .h5ad files with obs sample, label and perhaps donor")
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--permutations", type=int, default=19)
    parser.add_argument("--permutation-splits", type=int, default=2, help="splits of each permutation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--write", metavar="NAME", help="keep the table as results/NAME.txt")
    args = parser.parse_args()
    table = Table(
        f"{args.splits} half/half splits, <= {args.points} cells a sample; p-value: {args.permutations} permutations, "
        f"{args.permutation_splits} splits each (its own accuracy in brackets)"
    )
    columns = ["samples", "donors", "features", "euclidean", "ggml", "p-value", "(ggml)", "chance", "seconds"]
    table.add(f"{'set':22s}" + "".join(f"{c:>10s}" for c in columns))
    for name in args.sets:
        path, began = args.data / f"{name}.h5ad", time.perf_counter()
        donor = "donor" if "donor" in anndata.read_h5ad(path, backed="r").obs else None
        data = from_anndata(path, "sample", "label", group_key=donor, n_cells=args.points, gene_filter=None)
        scores = compare_metrics(data, ("euclidean", "ggml"), n_splits=args.splits, seed=args.seed)
        accuracy = scores.groupby("method").accuracy.mean()
        test = permutation_test(
            data, n_permutations=args.permutations, seed=args.seed, n_splits=args.permutation_splits
        )
        donors = len(data) if donor is None else len(set(data.groups))
        row = f"{name:22s}{len(data):10d}{donors:10d}{data.d:10d}{accuracy['euclidean']:10.2f}{accuracy['ggml']:10.2f}"
        row += f"{test['p_value']:10.2f}{test['accuracy']:10.2f}{test['chance'].mean():10.2f}"
        table.add(row + f"{time.perf_counter() - began:10.0f}")
        if args.write:
            table.write(args.write)
