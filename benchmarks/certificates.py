"""Is a certified gap ever below the true error? Adversarial pairs of clouds against ot.emd2, cold and after a step.

    python benchmarks/certificates.py [--pairs 5000] [--write]

A row a kind of clouds; within it ranks 1 to 3, powers 1 to 3, tolerances 1e-4 and 1e-9, 1 to 60 points, and masses that
are uniform, random, spread over 12 orders of magnitude, or partly 0. Each pair is solved cold, then warm after W or the
points have moved. `false`: solves whose cost is above that of emd2 by more than the gap says and a rounding of 1e-13 of
the diameter to the power p. `worst`: the largest share of its gap that a true error takes, above that rounding."""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import ot
from common import Table
from scipy.spatial.distance import cdist
from tqdm import trange

from ggml_nb import Distributions, PairwiseTransport

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "solver"))
from test_certificate import clouds, masses  # noqa: E402

KINDS = ("gauss", "grid", "duplicates", "one point", "near", "scale")


def solves(rng, kind):
    "Cost, gap, emd2's cost and diameter^p of one pair, cold and warm."
    n, m, k, p = (int(rng.integers(low, high)) for low, high in ((2, 61), (2, 61), (1, 4), (1, 4)))
    X, Y = clouds(rng, kind, n, m, k)
    X = X[:1] if kind == "one point" else X
    a, b = masses(rng, len(X), rng.integers(4)), masses(rng, len(Y), rng.integers(4))
    data = [np.zeros((len(X), 1)), np.zeros((len(Y), 1))]
    data = Distributions.from_list(data, [0, 1], weights=np.concatenate([a, b]))
    engine = PairwiseTransport(data, tol=rng.choice([1e-4, 1e-9]), p=p, n_jobs=1)
    turn = np.eye(k) + 0.05 * rng.normal(size=(k, k))
    for Z in (np.concatenate([X, Y]), np.concatenate([X, Y]) @ turn, np.concatenate([X, 1.01 * Y])):
        C = cdist(Z[: len(X)], Z[len(X) :]) ** p
        cost, unit = engine.solve_embedded(Z)[0], C.max() or 1.0
        truth = unit * ot.emd2(a, b, C / unit, numItermax=10**7, check_marginals=False)
        yield cost, engine.gaps[0], truth, np.linalg.norm(np.ptp(Z, axis=0)) ** p


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--write", action="store_true", help="keep the table as results/certificates.txt")
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # of emd2, on masses over many orders
    table = Table(f"{args.pairs} adversarial pairs, three solves each; see benchmarks/certificates.py")
    table.add(f"{'kind':12s} {'solves':>7s} {'false':>6s} {'worst':>8s} {'median gap':>11s} {'largest gap':>12s}")
    for kind in KINDS:
        rng, rows = np.random.default_rng(len(kind)), []
        for _ in trange(-(-args.pairs // len(KINDS)), desc=kind):
            rows += solves(rng, kind)
        cost, gap, truth, size = np.array(rows).T
        excess = cost - truth - 1e-13 * size
        share = np.divide(excess, gap * cost, out=np.zeros_like(excess), where=gap * cost > 0)
        false = (excess > 0) & (excess > gap * cost)
        gaps = f"{np.median(gap):11.1e} {gap.max():12.1e}"
        table.add(f"{kind:12s} {len(cost):7d} {false.sum():6d} {max(share.max(), 0):8.2f} {gaps}")
    if args.write:
        table.write("certificates")
