"What comes in at the doors of the method: refused by the name of the argument, or taken for what it is."

from enum import Enum

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from ggml_nb import (
    Distributions,
    PairwiseTransport,
    ggml_loss,
    mahalanobis_cdist,
    make_distributions,
    make_triplets,
    pairwise_wasserstein,
    regularizer,
    train_ggml,
    triplet_loss,
    unique_pairs,
    wasserstein,
)
from ggml_nb.method.transport import ground_distances

D = make_distributions(3, n_per_class=3, n_points=4, noise_scale=3, seed=0)
P, Q = D[0].astype(float), D[4].astype(float)


def made(**change):
    return Distributions(**{"points": D.points, "sample": D.sample, "labels": D.labels, **change})


@pytest.mark.parametrize("name", ["labels", "weights", "sample", "sample_names", "groups", "batches"])
def test_no_mask_is_lost(name):
    values = {"weights": np.ones(len(D.sample)), "sample": D.sample}.get(name, np.arange(9))
    with pytest.raises(TypeError, match=f"{name} is a masked array, whose mask would be lost"):
        made(**{name: np.ma.masked_less(values, 1.5)})


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(sample_names=["x"] * 9), "sample_names must be unique, but x occurs twice"),
        (dict(class_names=["a", "a", "b"]), "class_names must be unique, but a occurs twice"),
        (dict(class_names=["a", np.nan, "b"]), "class_names has missing values"),
        (dict(class_names=[None, "a", "b"]), "class_names has missing values"),
        (dict(class_names=np.eye(3)), r"class_names must have 3 entries, got shape \(3, 3\)"),
        (dict(labels=np.repeat([b"a", b"b", b"c"], 3)), "labels must be text, got bytes: .*decode"),
        (dict(labels=[b"a", b"b", b"c"] * 3), "labels must be text, got bytes: .*decode"),
    ],
)
def test_names_are_text_present_and_unique(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        made(**change)


SEED = "seed must be a whole number of at least 0, a Generator or None, got"


@pytest.mark.parametrize("seed", [-1, "a", 1.5])
@pytest.mark.parametrize(
    "call",
    [
        lambda seed: D.subsample(2, seed),
        lambda seed: make_distributions(seed=seed),
        lambda seed: make_triplets(D.labels, seed=seed),
        lambda seed: train_ggml(D, epochs=1, seed=seed),
    ],
)
def test_a_seed_that_is_none_is_named(call, seed):
    with pytest.raises(ValueError, match=f"{SEED} {seed!r}"):
        call(seed)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: make_distributions(noise_scale=-1), "noise_scale must be a finite number of at least 0, got -1"),
        (lambda: make_triplets(D.labels, cost=np.full((9, 9), np.nan)), "cost must be a table of 9 times 9 finite"),
        (lambda: make_triplets(D.labels, cost=np.ones((10, 10))), r"cost must be a table .* got shape \(10, 10\)"),
        (lambda: make_triplets(D.labels, batches=np.ones(10)), "batches must have 9 entries"),
        (lambda: train_ggml(D, rank=0), "rank must be a whole number of at least 1, got 0"),
        (lambda: train_ggml(D, epochs=0), "epochs must be a whole number of at least 1, got 0"),
        (lambda: train_ggml(D, batch_size=0), "batch_size must be a whole number of at least 1, got 0"),
        (lambda: triplet_loss(np.ones(3), np.ones((3, 1)), 1.0), r"one number a triplet, got shapes \(3,\), \(3, 1\)"),
        (lambda: triplet_loss(np.ones(3), np.ones(3), np.ones(2)), "one number a triplet"),
        (lambda: regularizer(np.ones(3)), "W must be a .k, d. matrix"),
        (lambda: regularizer(torch.ones(2, 2, 2)), "W must be a real .k, d. matrix"),
        (lambda: regularizer(torch.eye(2) * 1j), "W must be a real .k, d. matrix, got torch.complex64"),
        (lambda: regularizer(sparse.eye_array(3)), "W must be a .k, d. matrix of numbers"),
        (lambda: regularizer(np.eye(2), ["fro"]), "norm must be one of"),
        (lambda: ground_distances(None, Q), "P must have shape"),
        (lambda: ground_distances(P[0], Q), "P must have shape"),
        (lambda: ground_distances(P, Q[:, :2]), "P and Q must have the same number of features, got 3 and 2"),
        (lambda: ground_distances(P * 1j, Q), "P must be a numeric"),
        (lambda: ground_distances(P, Q, "nope"), "metric 'nope' is none that SciPy or scikit-learn has"),
        (lambda: pairwise_wasserstein(D, metric="nope"), "metric 'nope' is none that SciPy or scikit-learn has"),
    ],
)
def test_the_argument_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_triplets_are_no_index():
    pairs, index = unique_pairs(triplets := make_triplets(D.labels, 2, seed=0))
    transport = PairwiseTransport(D, pairs, n_jobs=1)
    for wrong, message in [
        (triplets, r"index must be \(T, 2\)"),
        (-index, "index points at pair -"),
        (index * 1.0, ""),
    ]:
        with pytest.raises(ValueError, match=message or "whole numbers"):
            ggml_loss(np.eye(2, 3), transport, wrong, 1.0)
    assert transport.last is None  # it was seen before the work


def test_padding_is_not_drawn():
    padded = made(weights=np.tile([1, 1, 1, 0], 27))
    assert np.diff(padded.subsample(1000).offsets).tolist() == [9] * 9
    assert np.array_equal(D.subsample(1000).points, D.points)


def test_dense_and_sparse_mix_in_any_order():
    costs = [wasserstein(p, q).cost for p in (P, sparse.csr_array(P)) for q in (Q, sparse.csr_array(Q))]
    np.testing.assert_allclose(costs, costs[0], rtol=1e-12)
    assert np.allclose(ground_distances(P.tolist(), torch.from_numpy(Q)), ground_distances(P, Q))


@pytest.mark.parametrize("size", [1e-170, 1e-200])
def test_distances_of_tiny_points_are_none(size):
    want = ground_distances(P, Q)
    for found in (
        mahalanobis_cdist(P * size, Q * size, np.eye(3)),
        ground_distances(sparse.csr_array(P * size), sparse.csr_array(Q * size)),
        ground_distances(P * size, Q * size),
    ):
        np.testing.assert_allclose(found / size, want, rtol=1e-7)


class Diagnosis(str, Enum):  # noqa: UP042 (what users have)
    WELL, MILD, SEVERE = "well", "ill, mildly", "ill, severely"


def test_members_of_an_enum_are_the_text_that_they_are():
    labels = [*Diagnosis] * 3
    assert made(labels=labels).class_names.tolist() == ["ill, mildly", "ill, severely", "well"]
    assert made(groups=labels).donors.tolist() == [*map(str.__str__, labels)]
    with pytest.raises(TypeError, match="must be text, numbers, truth values or times, got Color"):
        made(labels=[*Enum("Color", "RED GREEN BLUE")] * 3)


def test_an_engine_is_asked_for_its_own_pairs():
    true, Z = pairwise_wasserstein(D), torch.tensor(D.points.astype(float))
    some = PairwiseTransport(D, pairs=[[1, 3], [0, 2]])
    assert np.allclose(PairwiseTransport(D)(Z, [[2, 0], [1, 3]]), [true[0, 2], true[1, 3]])
    assert np.allclose(some(Z, [[2, 0], [1, 3]]), [true[0, 2], true[1, 3]])
    with pytest.raises(ValueError, match=r"pairs must index the 9 distributions, got 0..11"):
        PairwiseTransport(D)(Z, [[0, 11]])  # of nine clouds: 0 * 9 + 11 is the place of [1, 2]
    for pair in ([0, 1], [1, 1]):
        with pytest.raises(ValueError, match=rf"\[{pair[0]}, {pair[1]}\] is not among the pairs of this engine"):
            some(Z, [[1, 3], pair])


def test_a_series_of_clouds_is_read_in_its_order():
    clouds = pd.Series([D[i] for i in range(4)], index=[7, 5, 6, 8])
    assert np.array_equal(Distributions.from_list(clouds).points, np.concatenate(clouds.tolist()))


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis"])
def test_pairs_have_one_ground_metric(metric):
    with pytest.raises(ValueError, match=f"'{metric}' takes its scale from the clouds at hand"):
        pairwise_wasserstein(D, metric=metric)
