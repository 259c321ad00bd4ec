"""Two real sets whose classes have an order: Spearman's correlation of held-out answers, half/half splits, donor-wise.

Stages of type 1 diabetes (none, onset, long duration) in images of islets, and voices of men, women and children (the
vocal tract gets shorter). Answers are means of the five nearest (regression), or votes, under Euclidean transport, a
metric learned from classes and one learned from their order."""

import argparse
import warnings
from pathlib import Path

import anndata
import numpy as np
from common import Table

from ggml_nb import GGML, from_anndata, pairwise_wasserstein
from ggml_nb.estimator.ordered import neighbour_mean, spearman
from ggml_nb.evaluation.evaluation import splits_for

warnings.simplefilter("ignore")
SETS = {
    "t1d_islet_imc_nbhd": ["Non-diabetic", "Onset", "Long-duration"],
    "vowels_peterson": ["man", "woman", "child"],
}


def bench(path, order, args):
    "Mean correlation of each way to answer."
    adata = anndata.read_h5ad(path)
    adata.obs["stage"] = adata.obs.label.astype(str).map(order.index).astype(int)
    donor = "donor" if "donor" in adata.obs else None
    how = dict(group_key=donor, n_cells=args.points, gene_filter=None, target="ordered")
    data = from_anndata(adata, "sample", "stage", **how)
    y, D, found = data.classes.astype(float), pairwise_wasserstein(data), {}
    for train, test in splits_for("ordered", data, args.splits, 0.5, args.seed):
        answers = {"euclidean, regression": neighbour_mean(D[np.ix_(test, train)], y[train])}
        for target in ("classes", "ordered"):
            model = GGML(target=target, random_state=0, n_jobs=1).fit(data.subset(train))
            near = model.distances_to_fit(data.subset(test))
            answers[f"{target}, regression"] = neighbour_mean(near, y[train])
            if target == "classes":
                answers["classes, vote"] = model.predict(data.subset(test)).astype(float)
        for name, said in answers.items():
            found.setdefault(name, []).append(spearman(y[test], said))
    return {name: np.mean(rho) for name, rho in found.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .h5ad files")
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--points", type=int, default=60)
    parser.add_argument("--seed", type=int, default=400)
    parser.add_argument("--write", metavar="NAME", help="keep the table as results/NAME.txt")
    args = parser.parse_args()
    table = Table(f"Spearman's correlation held out, {args.splits} splits (seed {args.seed}), <= {args.points} points")
    for name, order in SETS.items():
        for method, rho in bench(args.data / f"{name}.h5ad", order, args).items():
            table.add(f"{name:24s}{method:26s}{rho:7.3f}")
    if args.write:
        table.write(args.write)
