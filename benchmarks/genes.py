"""Which genes does a ranking find? Recall among the first K of the K true genes, on simulations with an answer sheet.

GGML with its defaults on all genes, ordered by pattern and by weight, beside a t-test on patient means over all cells.
`scrna` is make_scrna; the others are a second simulation, written for this file: 20 patients, 300 cells of six types,
60 of 2000 genes raised e^2-fold in one type, drawn over all expression levels; and families that change one thing.
Last, draws without signal: in how many does any gene pass fdr < 0.1?"""

import argparse
import warnings

import anndata
import numpy as np
import pandas as pd
from common import Table
from scipy import sparse
from scipy.stats import ttest_ind

from ggml_nb import fit_anndata, from_anndata, make_scrna, rank_genes, sample_means

warnings.simplefilter("ignore")
FAMILIES = {
    "second": {},
    "few strong": {"n_true": 10, "effect": 2.5},
    "many weak": {"n_true": 200, "effect": 0.8},
    "rare type": {"share": 0.04},
    "low": {"level": (0, 0.5)},
    "high": {"level": (0.5, 1)},
    "up and down": {"signs": (-1, 1)},
    "modules": {"module": 0.6},
    "depth": {"depth": 0.6},
    "batch": {"batch": 0.5},
    "ten patients": {"n_patients": 10},
}


def simulate(seed, n_patients=20, n_cells=300, n_genes=2000, n_true=60, effect=2.0, level=(0, 1), signs=(1,),
             share=1 / 6, module=0.0, depth=0.0, batch=0.0):  # fmt: skip
    "Gamma-Poisson counts with a dispersion for each gene; the ill differ in some genes of the first of six types."
    rng = np.random.default_rng(seed)
    base, shape = rng.normal(-1.5, 1.3, n_genes), rng.gamma(4, 0.5, n_genes) + 0.3
    types = base + rng.normal(0, 1.2, (6, n_genes)) * (rng.random((6, n_genes)) < 0.12)
    low, high = (int(q * n_genes) for q in level)
    true = np.zeros(n_genes, dtype=bool)
    true[rng.choice(np.argsort(base)[low:high], n_true, replace=False)] = True
    change = effect * true * rng.choice(signs, n_genes)
    loading = np.zeros((n_genes, 8))  # eight programmes that vary from cell to cell
    loading[np.arange(n_genes), rng.integers(0, 8, n_genes)] = module * (rng.random(n_genes) < 0.4)
    weight = 120 * np.array([share, *[(1 - share) / 5] * 5])
    assay, shift = rng.integers(0, 2, n_patients), rng.normal(0, batch, n_genes)
    blocks, obs = [], []
    for p in range(n_patients):
        own = types + rng.normal(0, 0.15, n_genes) + shift * assay[p]
        own[0] += change * (p % 2)
        kind = rng.choice(6, n_cells, p=rng.dirichlet(weight))
        rate = own[kind] + rng.normal(size=(n_cells, 8)) @ loading.T
        rate = np.exp(rate) * rng.lognormal(0, 0.3, (n_cells, 1)) * rng.lognormal(0, depth)
        counts = rng.poisson(rate * rng.gamma(shape, 1 / shape, rate.shape))
        total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        blocks.append(sparse.csr_matrix(np.log1p(1e4 * counts / total), dtype=np.float32))
        obs.append(pd.DataFrame({"sample": f"patient {p:02d}", "label": "ab"[p % 2], "cell_type": kind.astype(str)}))
    obs, var = pd.concat(obs, ignore_index=True), pd.DataFrame({"differential": true})
    obs.index, var.index = obs.index.map("cell {}".format), var.index.map("gene {:04d}".format)
    return anndata.AnnData(sparse.vstack(blocks, format="csr"), obs=obs, var=var)


def judge(adata, n_cells):
    "Recall of pattern, weight and t-test among the first K; genes with fdr < 0.1, and the share of true ones in them."
    true, seen = adata.var.differential, from_anndata(adata, "sample", "label", gene_filter=None, n_cells=None)
    means, ill = sample_means(seen).astype(float), seen.labels == 1
    p = np.nan_to_num(ttest_ind(means[ill], means[~ill]).pvalue, nan=1)
    fit_anndata(adata, "sample", "label", gene_filter=None, n_cells=n_cells, min_cells=1)
    ranking, K = rank_genes(adata), int(true.sum())
    by = {
        "pattern": ranking.gene,
        "weight": ranking.gene[np.argsort(-ranking.weight)],
        "t-test": true.index[np.argsort(p)],
    }
    sure = ranking.gene[ranking.fdr < 0.1]
    return [true[genes[:K]].mean() for genes in by.values()] + [len(sure), true[sure].mean() if len(sure) else np.nan]


def draw(family, seed):
    return make_scrna(seed=seed) if family == "scrna" else simulate(seed, **FAMILIES[family])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5, help="of scrna and second")
    parser.add_argument("--family-draws", type=int, default=2, help="of each other family")
    parser.add_argument("--null", type=int, default=100, help="draws without signal: 40 cells, 300 genes")
    parser.add_argument(
        "--cells", type=int, default=100, help="of each patient that are fitted; the t-test has all 300"
    )
    parser.add_argument("--write", metavar="NAME", help="keep the table as results/NAME.txt")
    args = parser.parse_args()
    table = Table(f"<= {args.cells} cells a patient for GGML, all genes; recall among the first K of K true genes")
    table.add(f"{'simulation':14s}" + "".join(f"{c:>10s}" for c in ("pattern", "weight", "t-test", "fdr < .1", "true")))
    for family in ("scrna", *FAMILIES):
        draws = args.draws if family in ("scrna", "second") else args.family_draws
        rows = np.array([judge(draw(family, 100 + seed), args.cells) for seed in range(draws)])
        for row in rows if len(rows) > 2 else []:
            table.add(f"{'  one draw':14s}" + "".join(f"{x:10.2f}" for x in row))
        table.add(f"{family:14s}" + "".join(f"{x:10.2f}" for x in np.nanmean(rows, axis=0)))
        if args.write:
            table.write(args.write)
    found = 0
    for seed in range(args.null):
        adata = simulate(1000 + seed, n_cells=40, n_genes=300, effect=0.0)
        fit_anndata(adata, "sample", "label", gene_filter=None, min_cells=1, max_epochs=1)
        found += int((rank_genes(adata).fdr < 0.1).any())
        if (seed + 1) % 20 == 0:
            table.add(f"without signal: a gene with fdr < 0.1 in {found} of {seed + 1} draws")
            if args.write:
                table.write(args.write)
