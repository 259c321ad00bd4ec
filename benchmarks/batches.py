"""A fit that knows the batches, on simulated cohorts whose batch nearly is the disease, and what it costs elsewhere.

24 donors with 38 samples (15 healthy and 3 ill ones measured with v2, 2 and 18 with v3) to learn from, 8 new ones with
11; the disease changes 40 genes of one cell type. A row a seed and fit: share of the new samples whose disease the
vote tells, share whose batch their five nearest tell (by chance: the commoner batch), and how many of the 40 genes
are among the first 40 of `rank_genes`. "blind" is a fit that is not told of the batch, "start" one that is not trained,
"linear" the F-test of donors' means with the batch as a term; "type": in cells of the concerned type alone. With
--balanced both classes are spread over both batches alike, and 40 new samples are judged."""

import argparse
import time
import warnings

import numpy as np
import pandas as pd
from common import Table

from ggml_nb import GGML, from_anndata, make_scrna, pseudobulk_test, rank_genes

warnings.simplefilter("ignore")
BATCHES, LEARN, NEW = ["v2", "v3"], [[15, 2], [3, 18]], [[3, 3], [2, 3]]


def read(adata, known=True):
    "Clouds; the batch is a part of them or not."
    donor = "donor" if "donor" in adata.obs else None
    return from_anndata(adata, "sample", "label", group_key=donor, batch_key="batch" if known else None)


def told(model, new, batch):
    "Shares of the new samples whose class, and whose batch, are told."
    near = batch[model.kneighbors(new)[1]]
    guess = np.array([max(set(row), key=list(row).count) for row in near.tolist()])
    return model.score(new), float(np.mean(guess == new.batches))


def found(table, genes, n=40):
    "How many of the genes are among the first."
    return int(genes.loc[table.head(n)].sum())


def linear(data):
    "Genes by the p-value of the class beside the batch, from the means of donors."
    means = np.stack([np.asarray(data[i].mean(axis=0)).ravel() for i in range(len(data))])
    p = pseudobulk_test(means, data.classes, data.groups, data.batches).p_value
    return data.feature_names[np.argsort(p.to_numpy(), kind="stable")]


def cohorts(seed, args):
    "Those to learn from, and new ones of the same world."
    size = dict(n_cells=args.cells, n_genes=args.genes, n_differential=40, effect=args.effect)
    size |= dict(batches=BATCHES, seed=seed)
    if args.balanced:
        return make_scrna(24, n_samples=38, **size), make_scrna(40, patient_seed=1, **size)
    return make_scrna(24, confounding=LEARN, **size), make_scrna(8, confounding=NEW, patient_seed=1, **size)


def bench(seed, args):
    "One row a fit: name, disease, batch, chance, genes, CPU seconds."
    adata, others = cohorts(seed, args)
    data, new, genes = read(adata), read(others), adata.var.differential
    kind = adata[adata.obs.cell_type == "type 0"]
    chance = np.unique(new.batches, return_counts=True)[1].max() / len(new)
    for name, epochs, known in (("blind", 50, False), ("start", 1, True), ("batch_key", 50, True)):
        began, clouds = time.process_time(), read(adata, known)
        model = GGML(random_state=0, max_epochs=epochs, init="spectral", n_jobs=1)
        if name == "start":
            model.set_params(lr=1e-9)
        model.fit(clouds)
        ours = rank_genes(model, distributions=clouds).gene
        yield name, *told(model, new, data.batches), chance, found(ours, genes), time.process_time() - began
    if args.balanced:
        return
    clouds = read(kind)
    ours = rank_genes(GGML(random_state=0, n_jobs=1).fit(clouds), distributions=clouds).gene
    for name, order in (("linear", linear(data)), ("linear, type", linear(clouds)), ("batch_key, type", ours)):
        yield name, np.nan, np.nan, chance, found(pd.Series(order), genes), 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cells", type=int, default=150, help="of each sample")
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--effect", type=float, default=1.0, help="of the disease, in log means of its genes")
    parser.add_argument("--balanced", action="store_true")
    parser.add_argument("--write", metavar="NAME", help="keep the table as results/NAME.txt")
    args = parser.parse_args()
    kind = "balanced batches" if args.balanced else "batch nearly is disease"
    table = Table(f"{kind}: {args.cells} cells, {args.genes} genes, effect {args.effect}")
    table.add(f"{'seed':>4s}  {'fit':20s}{'disease':>9s}{'batch':>9s}{'chance':>9s}{'genes':>7s}{'CPU s':>7s}")
    rows = {}
    for seed in range(args.seeds):
        for name, *row in bench(seed, args):
            rows.setdefault(name, []).append(row)
            table.add(f"{seed:4d}  {name:20s}" + "".join(f"{x:9.2f}" for x in row[:3]) + f"{row[3]:7d}{row[4]:7.0f}")
    for name, of in rows.items():
        mean = np.mean(of, axis=0)
        table.add(f"mean  {name:20s}" + "".join(f"{x:9.2f}" for x in mean[:3]) + f"{mean[3]:7.1f}{mean[4]:7.0f}")
    if args.write:
        table.write(args.write)
