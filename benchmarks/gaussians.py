"""May a few Gaussians stand for a cloud? Held-out balanced accuracy of weighted 5-NN, and seconds, beside points.

python gaussians.py DATA_FOLDER [--sets NAME ..] [--write]

A sample is a mixture of --components Gaussians, found in it alone. The distance of two Gaussians under W is that of
Bures and Wasserstein, the root of |W(m - m')|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2 with A, B the covariances
under W; between two mixtures it is transport with these costs. Columns, same half/half splits by donor:
    points       GGML learned on points, exact transport of points
    centroids    GGML learned on the means of the components (lesson 57), transport of means
    gaussians    the metric of `centroids`, trained on by the paper's loss of Gaussian distances; transport of Gaussians
    spread       the metric of `points`, transport of Gaussians: what covariances alone say
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import ot
import torch
from accuracy import load
from common import Table
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score
from sklearn.mixture import GaussianMixture
from tqdm import tqdm

from ggml_nb import GGML, Distributions, knn_score, make_triplets, pair_costs, split_distributions, triplet_loss
from ggml_nb.cells.patients import principal_axes
from ggml_nb.method.mahalanobis import project
from ggml_nb.method.triplets import unique_pairs

SETS = "bcrxl_cytof covid_pbmc_pca flowcap_aml gbm_panobinostat hiv_bcell_flow ms_tcr rudqvist_tcr tnbc_mibi_nbhd"


def mixtures(data, m=10, r=5, seed=0):
    "A mixture for each cloud: m means with their masses, then r columns L of each covariance L'L, as points of mass 0."
    clouds, weights = [], []
    small = data.d <= 50 and not sparse.issparse(data.points)
    Z = data.points if small else project(data.points, principal_axes(data.points))
    for i in range(len(data)):
        rows = data.rows(i)
        X = data.points[rows].toarray() if sparse.issparse(data.points) else data.points[rows]
        blobs = GaussianMixture(min(m, len(X)), covariance_type="diag", reg_covar=1e-4, random_state=seed)
        share = blobs.fit(Z[rows].astype(np.float64)).predict_proba(Z[rows])
        mass = share.mean(axis=0)
        share, mass = share[:, mass > 1e-9] / len(X) / mass[mass > 1e-9], mass[mass > 1e-9]
        means, factors = share.T @ X, []
        for weight, mean in zip(share.T, means):
            _, s, V = np.linalg.svd(np.sqrt(weight)[:, None] * (X - mean), full_matrices=False)
            L = np.zeros((r, data.d))
            L[: len(s)] = s[:r, None] * V[:r]
            factors.append(L)
        clouds.append(np.concatenate([means, *factors]))
        weights.append(np.r_[mass, np.zeros(len(mass) * r)])
    return Distributions.from_list(clouds, data.labels, weights=np.concatenate(weights), groups=data.groups)


def bures_squared(mean, L, other_mean, other_L):
    "Squared Bures-Wasserstein distances of Gaussians N(mean, L'L): means (.., k), factors L (.., r, k)."
    overlap = torch.linalg.svdvals(L @ other_L.mT).sum(dim=-1)  # tr (A^1/2 B A^1/2)^1/2, as A = L'L
    spread = (L**2).sum(dim=(-2, -1)) + (other_L**2).sum(dim=(-2, -1)) - 2 * overlap
    return ((mean - other_mean) ** 2).sum(dim=-1) + spread.clamp(min=0)


def gaussian_costs(data, r=5):
    "As `pot_costs` of lesson 17, with Gaussians for points: plans by POT, held fixed, times distances in torch."

    def parts(Z, rows):
        "Rows of the means, their masses, and the factors (m, r, k)."
        top = rows[data.weights[rows] > 0]
        return top, data.weights[top], Z[rows[len(top) :]].reshape(len(top), r, -1)

    def costs(Z, pairs):
        found = []
        for i, j in pairs:
            (P, a, L), (Q, b, K) = (parts(Z, data.rows(c)) for c in (i, j))
            with torch.no_grad():
                C = bures_squared(Z[P][:, None], L[:, None], Z[Q][None], K[None]).sqrt().double().numpy()
            plan = ot.emd(a, b, C)
            x, y = plan.nonzero()
            square = bures_squared(Z[P[x]], L[x], Z[Q[y]], K[y]).clamp(min=1e-24)
            found.append((torch.from_numpy(plan[x, y]) * square.sqrt()).sum())
        return torch.stack(found)

    return costs


def refine(data, W, costs, margin, epochs=10, lr=0.03, decay=0.8, seed=0):
    "The page's loop (lesson 17), begun at W: margin and step in units of W's distances and entries."
    X, rng = torch.from_numpy(np.asarray(data.points, np.float64)), np.random.default_rng(seed)
    start = torch.from_numpy(np.asarray(W, np.float64))
    unit = start.abs().mean(dim=0).clamp(min=1e-12)  # a feature of small entries takes small steps
    V = (start / unit).requires_grad_()
    adam = torch.optim.Adam([V], lr)
    for epoch in range(epochs):
        adam.param_groups[0]["lr"] = lr * decay**epoch
        triplets = rng.permutation(make_triplets(data.labels, 3, rng))
        for first in range(0, len(triplets), 128):
            pairs, index = unique_pairs(triplets[first : first + 128])
            cost = costs(X @ (V * unit).T, pairs)
            loss = triplet_loss(cost[index[:, 0]], cost[index[:, 1]], margin)
            adam.zero_grad()
            if loss.requires_grad:
                loss.backward()
                adam.step()
    return (V * unit).detach().numpy()


def measure(data, m, split, seed):
    "Accuracy and seconds of each column on one split."
    train, test = split
    pairs, part, row = np.array([(i, j) for i in test for j in train]), data.subset(train), []

    def score(costs, start):
        D = np.zeros((len(data), len(data)))
        D[tuple(pairs.T)] = costs
        row.append(
            (knn_score(D, data.labels, train, test, scoring=balanced_accuracy_score), time.perf_counter() - start)
        )

    start = time.perf_counter()
    W = GGML(random_state=seed).fit(part).components_
    score(pair_costs(data, pairs, W), start)
    start = time.perf_counter()
    blobs = mixtures(data, m, seed=seed)
    means = [blobs[i][blobs.weights[blobs.rows(i)] > 0] for i in range(len(blobs))]
    masses = [blobs.weights[blobs.rows(i)] for i in range(len(blobs))]
    centroids = Distributions.from_list(
        means, data.labels, weights=np.concatenate([a[a > 0] for a in masses]), groups=data.groups
    )
    V = GGML(random_state=seed).fit(centroids.subset(train)).components_
    score(pair_costs(centroids, pairs, V), start)
    half, all_costs = blobs.subset(train), gaussian_costs(blobs)
    with torch.no_grad():
        some = np.array([(i, j) for i in range(len(train)) for j in range(i)])
        typical = float(gaussian_costs(half)(torch.from_numpy(half.points @ V.T).double(), some).median())
    U = refine(half, V, gaussian_costs(half), 0.03 * typical, seed=seed)
    for matrix, since in ((U, start), (W, time.perf_counter())):
        with torch.no_grad():
            score(all_costs(torch.from_numpy(blobs.points @ matrix.T).double(), pairs).numpy(), since)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS.split())
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = ["points", "centroids", "gaussians", "spread"]
    about = f"{args.splits} half/half splits by donor (seed {args.seed}), {args.points} points at most"
    about += f", {args.components} Gaussians"
    table = Table(f"Balanced accuracy and seconds a split: {about}; see benchmarks/gaussians.py")
    table.add(f"{'set':22s}" + "".join(f"{name:>11s}" for name in names) + "".join(f"{'s_' + n:>13s}" for n in names))
    means = []
    for name in args.sets:
        data = load(args.folder / f"{name}.h5ad", args.points)[0]
        splits = split_distributions(data, args.splits, seed=args.seed)
        rows = np.array([measure(data, args.components, split, args.seed) for split in tqdm(splits, name)]).mean(axis=0)
        means.append(rows[:, 0])
        table.add(f"{name:22s}" + "".join(f"{x:11.3f}" for x in rows[:, 0]) + "".join(f"{x:13.2f}" for x in rows[:, 1]))
    table.add(f"{'mean':22s}" + "".join(f"{x:11.3f}" for x in np.mean(means, axis=0)))
    if args.write:
        table.write("gaussians")


if __name__ == "__main__":
    main()
