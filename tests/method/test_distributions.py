"""Property tests of Distributions, splits and triplets."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ggml_nb import (
    GGML,
    Distributions,
    all_triplets,
    clustering_scores,
    fitted_distributions,
    from_anndata,
    interpolate,
    knn_score,
    low_rank,
    make_distributions,
    make_scrna,
    make_triplets,
    pairwise_wasserstein,
    plot_embedding,
    project,
    sample_means,
    split_distributions,
    unique_pairs,
)


def random_distributions(seed, csr=False, n=6, d=4, weighted=True):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, n)
    points = rng.normal(size=(sizes.sum(), d)) * (rng.random((sizes.sum(), d)) < 0.7)
    sample = rng.permutation(np.repeat(np.arange(n), sizes))
    weights = rng.random(len(points)) + 0.01 if weighted else None
    return Distributions(sparse.csr_matrix(points) if csr else points, sample, np.arange(n) % 2, weights=weights)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_every_point_in_its_own_cloud(seed, csr):
    D = random_distributions(seed, csr)
    for i in range(len(D)):
        assert (D.sample[D.rows(i)] == i).all()
        assert abs(D.weights[D.rows(i)].sum() - 1) < 1e-12
        assert abs(D[i] - D.points[D.rows(i)]).max() == 0
    assert np.array_equal(np.sort(D.order), np.arange(D.points.shape[0]))


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_subset_keeps_clouds_and_names(seed, csr):
    D = random_distributions(seed, csr)
    pick = np.random.default_rng(seed).permutation(len(D))[:3]
    S = D.subset(pick)
    assert S.sample_names.tolist() == D.sample_names[pick].tolist()
    assert S.labels.tolist() == D.labels[pick].tolist()
    for new, old in enumerate(pick):
        assert abs(S[new] - D[old]).max() == 0
        assert np.allclose(S.weights[S.rows(new)], D.weights[D.rows(old)])


def test_subsample_is_seeded_and_leaves_small_clouds_whole():
    D = random_distributions(3)
    S, again = D.subsample(3, seed=1), D.subsample(3, seed=1)
    assert np.array_equal(S.points, again.points)
    sizes = np.diff(D.offsets)
    assert np.array_equal(np.diff(S.offsets), np.minimum(sizes, 3))


def test_csr_stays_csr_and_float32():
    D = random_distributions(0, csr=True)
    for X in (D.points, D[0], D.subset([0, 1]).points, D.subsample(2).points):
        assert sparse.issparse(X) and X.format == "csr" and X.dtype == np.float32


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(points=[[np.nan, 1], [0, 1], [1, 2]]), "points contains NaN"),
        (dict(points=[[1e300, 1], [0, 1], [1, 2]]), "too large"),
        (dict(points=[1, 2, 3]), "points must have shape"),
        (dict(sample=[0, 0, 2]), "sample must lie in 0..1"),
        (dict(sample=[0, 0, 0]), "has no points"),
        (dict(sample=[0, 1]), "sample must be 3 integers"),
        (dict(labels=["a", None]), "labels has missing"),
        (dict(weights=[1, -1, 1]), "weights must be finite and non-negative"),
        (dict(weights=[0, 0, 1]), "sum to 0"),
        (dict(feature_names=["x"]), "feature_names must have 2"),
        (dict(batches=["x"]), "batches must have 2"),
        (dict(batches=["x", None]), "batches has missing"),
    ],
)
def test_errors_name_the_argument(change, message):
    good = dict(points=np.eye(3, 2), sample=[0, 0, 1], labels=["a", "b"])
    with pytest.raises(ValueError, match=message):
        Distributions(**{**good, **change})


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda D: Distributions([["TP53"], [1]], [0, 1], [0, 1]), TypeError, "points must be a numeric"),
        (
            lambda D: Distributions.from_list([np.ones((4, 2)), np.ones((3, 5))], [0, 1]),
            ValueError,
            "share their number",
        ),
        (lambda D: D.subset([0, 0]), ValueError, "indices must name at least one distribution, each once"),
        (lambda D: D.subsample(0), ValueError, "n_points must be a whole number of at least 1"),
        (lambda D: D[1:3], TypeError, "takes the number of one distribution, got slice"),
        (lambda D: split_distributions(D.points), TypeError, "must be a Distributions, got ndarray"),
        (lambda D: make_distributions(dim=1), ValueError, "need dim >= 2"),
        (lambda D: make_distributions(n_per_class=0), ValueError, "n_per_class >= 1"),
    ],
)
def test_parts_and_lists_are_checked(call, error, message):
    with pytest.raises(error, match=message):
        call(random_distributions(0))


def test_classes_and_donors_follow_the_parts():
    D = Distributions(np.eye(4), [0, 1, 2, 3], ["b", "a", "b", "c"])
    assert D.classes.tolist() == ["b", "a", "b", "c"] and D.donors.tolist() == [0, 1, 2, 3]
    assert D.subset([3, 0]).classes.tolist() == ["c", "b"] and D.subset([3, 0]).donors.tolist() == [0, 1]
    D.groups = np.array(["x", "x", "y", "z"])
    assert D.donors is D.groups and D.subset([3, 0]).donors.tolist() == ["z", "x"]


@pytest.mark.parametrize("batches", [["v2", "v3", "v3", "v2"], [2, 3, 3, 2], [True, False, False, True]])
def test_batches_of_any_values_follow_the_parts(batches):
    D = Distributions.from_list([np.full((5, 2), i) for i in range(4)], ["a", "b", "a", "b"], batches=batches)
    for part, kept in [(D.subset([3, 1]), [3, 1]), (D.subsample(2), range(4)), (D.take([0, 5, 10, 15]), range(4))]:
        assert part.batches.tolist() == [batches[i] for i in kept] and part.groups is None
    assert random_distributions(0).batches is None


@given(st.lists(st.integers(0, 3), min_size=4, max_size=20), st.integers(1, 4), st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_triplets_are_triplets(labels, t, seed):
    labels = np.array(labels)
    counts = np.bincount(labels)
    if (counts > 0).sum() < 2 or counts.max() < 2:
        with pytest.raises(ValueError):
            make_triplets(labels, t, seed)
        return
    T = make_triplets(labels, t, seed)
    i, j, k = T.T
    assert (labels[i] == labels[j]).all() and (labels[j] != labels[k]).all() and (i != j).all()
    assert len(np.unique(T, axis=0)) == len(T)
    present = counts[counts > 0]
    near = np.minimum(t, present - 1)
    far = np.minimum(t, present)
    assert len(T) == (present * near * (far.sum() - far)).sum()
    assert np.array_equal(T, make_triplets(labels, t, seed))
    pairs, index = unique_pairs(T)
    assert (pairs[:, 0] < pairs[:, 1]).all() and len(np.unique(pairs, axis=0)) == len(pairs)
    assert np.array_equal(pairs[index[:, 0]], np.sort(T[:, :2], axis=1))
    assert np.array_equal(pairs[index[:, 1]], np.sort(T[:, 1:], axis=1))


def test_all_triplets_against_brute_force():
    labels = np.array([0, 1, 0, 2, 1, 0])
    n = range(len(labels))
    brute = {(i, j, k) for i in n for j in n for k in n if i != j and labels[i] == labels[j] != labels[k]}
    assert {tuple(t) for t in all_triplets(labels).tolist()} == brute


@given(st.integers(0, 10**4))
@settings(max_examples=20, deadline=None)
def test_splits_are_stratified_and_keep_donors(seed):
    rng = np.random.default_rng(seed)
    donors = np.repeat(np.arange(12), 3)
    labels = np.repeat(rng.permutation([0, 1] * 6), 3)
    D = Distributions(rng.normal(size=(36, 2)), np.arange(36), labels, groups=donors)
    for train, test in split_distributions(D, 2, seed=seed):
        assert not set(donors[train]) & set(donors[test])
        assert np.array_equal(np.sort(np.r_[train, test]), np.arange(36))
        assert np.bincount(labels[train]).tolist() == [9, 9]
    D.groups = None
    for _, test in split_distributions(D, 2, seed=seed):
        assert np.bincount(labels[test]).tolist() == [9, 9]


def test_synthetic_data_follows_the_paper():
    D = make_distributions(200, n_points=2000, seed=1)
    assert len(D) == 30 and D.d == 200 and D.points.shape[0] == 30 * 6000
    first = D[0].reshape(3, 2000, 200)
    assert np.allclose(first[..., 0].mean(axis=1) / 1.25, [15, 0, 40], atol=0.2)
    assert np.allclose(first[..., 0].std(axis=1) / 1.25, 1.5, atol=0.1)
    assert 7.5 <= first[0, :, 1:].min() and first[0, :, 1:].max() <= 12.5
    last = D[29].reshape(3, 2000, 200)[0]
    assert np.allclose(last[:, 1:].mean(), 10 + 27, atol=0.1) and np.allclose(last[:, 0].mean() / 1.25, 25, atol=0.2)
    assert abs(make_distributions(2, seed=1).points[:, 1]).max() > 4e4


def test_a_subsample_of_a_cloud_has_mass():
    weights = np.zeros(1000)
    weights[[7, 993]] = 1
    few = Distributions(np.arange(1000.0)[:, None], np.arange(1000) // 500, [0, 1], weights=weights).subsample(25)
    assert few.points.ravel().tolist() == [7, 993] and few.weights.tolist() == [1, 1]


def test_what_float32_rounds_away_is_named(recwarn):
    points = np.random.default_rng(0).normal(size=(20, 3))
    Distributions(points + 1e4, np.arange(20) % 2, [0, 1])
    Distributions(points * 0 + 0.1 * 3, np.arange(20) % 2, [0, 1])
    Distributions(np.float32(points + 1e8), np.arange(20) % 2, [0, 1])  # as it came
    assert not recwarn
    with pytest.warns(UserWarning, match="1 of 3 columns, the first 2, .* subtract their mean"):
        Distributions(points + [0, 0, 1e8], np.arange(20) % 2, [0, 1])


def test_columns_of_data_frames_name_the_features():
    one = pd.DataFrame(np.ones((4, 2)), columns=["x", "y"])
    assert list(Distributions.from_list([one, 2 * one], [0, 1]).feature_names) == ["x", "y"]
    assert list(Distributions.from_list([one, 2 * one], [0, 1], feature_names=["a", "b"]).feature_names) == ["a", "b"]
    with pytest.raises(ValueError, match="same columns in the same order"):
        Distributions.from_list([one, one[["y", "x"]]], [0, 1])


def test_sparse_entries_given_twice_are_their_sum():
    table = sparse.csr_array(np.random.default_rng(0).poisson(1.0, (20, 5)).astype(np.float32))
    halves = (np.repeat(table.data / 2, 2), np.repeat(table.indices, 2), table.indptr * 2)
    twice = sparse.csr_array(halves, shape=table.shape)
    D = Distributions(twice, np.arange(20) // 5, [0, 1, 0, 1])
    assert D.points.nnz == table.nnz and abs(D.points - table).max() == 0
    assert twice.nnz == 2 * table.nnz  # the caller's table stays as it is


def test_a_mask_is_not_lost():
    masked = np.ma.masked_greater(np.arange(20.0).reshape(10, 2), 15)
    with pytest.raises(TypeError, match="masked"):
        Distributions(masked, np.arange(10) // 5, [0, 1])


def test_weights_that_sum_to_one_are_left_alone():
    rng = np.random.default_rng(0)
    data = Distributions.from_list([rng.normal(size=(n, 2)) for n in (25, 30, 49, 7)], list("abab"))
    assert np.array_equal(data.subset(np.arange(4)).weights, data.weights)
    assert np.array_equal(Distributions(data.points, data.sample, data.labels, data.weights).weights, data.weights)
    with pytest.raises(ValueError, match="weights are so large"):
        Distributions(data.points, data.sample, data.labels, np.full(111, 1e308))


def test_small_clouds_that_float32_cannot_hold_are_named_once():
    clouds = [np.random.default_rng(i).normal(size=(5, 2)) + 1e7 for i in range(6)]
    with pytest.warns(UserWarning, match="subtract their mean") as caught:
        Distributions.from_list(clouds, list("ababab"))
    assert len(caught) == 1


def test_a_few_points_that_float32_cannot_hold_are_named(recwarn):
    for n in (2, 3, 9):
        points = np.random.default_rng(n).normal(size=(n, 2))
        with pytest.warns(UserWarning, match="points: 1 of 2 columns, the first 1, .* subtract their mean"):
            Distributions(points + [0, 1e7], np.arange(n) % 2, [0, 1])
    recwarn.clear()
    for n in (1, 2, 3):  # of so many columns some agree by chance, where there are two points
        Distributions(np.random.default_rng(n).normal(size=(n, 100_000)), np.zeros(n, int), [0])
    assert not recwarn


def test_times_and_mixed_labels_are_refused():
    with pytest.raises(TypeError, match="points must be a numeric"):
        Distributions(np.zeros((4, 1), "datetime64[s]"), [0, 0, 1, 1], ["a", "b"])
    for labels in ([1, "b"], np.array([1, "b"], dtype=object)):
        with pytest.raises(TypeError, match="labels mixes text and numbers"):
            Distributions.from_list([np.zeros((2, 1))] * 2, labels)


class Frame:
    "A table of another library, as polars: columns, and numbers for NumPy."

    columns = ["x", "y"]

    def __array__(self, dtype=None, copy=None):
        return np.arange(20.0).reshape(10, 2)


def test_arrays_of_the_world_come_in(tmp_path):
    want = np.arange(20, dtype=np.float32).reshape(10, 2)
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(10, 2))
    mapped[:] = want
    read_only = want.copy()
    read_only.flags.writeable = False
    came = {
        "tensor with gradient": torch.tensor(want, requires_grad=True),
        "big-endian": want.astype(">f4"),
        "big-endian integers": want.astype(">i8"),
        "memory map": mapped,
        "read-only": read_only,
        "Fortran order": np.asfortranarray(want),
        "float16": want.astype(np.float16),
        "strided": np.repeat(want, 2, axis=0)[::2],
        "truth values": want > 3,
        "objects": want.astype(object),
        "nullable": pd.DataFrame(want).astype("Float32"),
        "sparse, by column": sparse.csc_array(want.astype("f8")),
        "another library": Frame(),
    }
    sample = np.arange(10) // 5
    for name, points in came.items():
        D = Distributions(points, sample, [0, 1])
        got = D.points.toarray() if sparse.issparse(D.points) else D.points
        assert np.array_equal(got, want > 3 if name == "truth values" else want) and got.dtype.isnative, name
        if not sparse.issparse(D.points):
            assert pairwise_wasserstein(Distributions.from_list([points, points], [0, 1])).max() < 1e-6, name


def test_what_is_wrong_with_a_value_is_said_as_it_is():
    for value, said in ((np.inf, "infinite values"), (np.nan, "NaN"), (1e300, "values too large for float32")):
        points = np.ones((4, 2))
        points[2, 1] = value
        for table in (points, sparse.csr_array(points)):
            with pytest.raises(ValueError, match=rf"points contains {said} \(1, the first in column 1\)"):
                Distributions(table, [0, 0, 1, 1], [0, 1])
    with pytest.raises(ValueError, match="clouds is empty: give at least one cloud"):
        Distributions.from_list([], [])
    with pytest.raises(ValueError, match=r"clouds\[1\] is empty: it has no points"):
        Distributions.from_list([np.ones((3, 2)), np.ones((0, 2))], [0, 1])
    for odd in (np.ones((4, 2), complex), [["a", "b"]] * 4, [[1, 2], [3]]):
        with pytest.raises(TypeError, match="points must be a numeric"):
            Distributions(odd, [0, 0, 1, 1], [0, 1])


def test_the_callers_array_may_change_afterwards():
    for points in (np.ones((4, 2), np.float32), sparse.csr_array(np.ones((4, 2), np.float32))):
        names, weights = np.array(["a", "b"]), np.ones(4)
        D = Distributions(points, [0, 0, 1, 1], [0, 1], weights, sample_names=names)
        shared = Distributions(points, [0, 0, 1, 1], [0, 1], copy=False)
        (points.data if sparse.issparse(points) else points)[:] = 5
        names[0], weights[0] = "z", 9
        assert D.points.max() == 1 and D.sample_names[0] == "a" and D.weights[0] == 0.5
        assert shared.points.max() == 5  # as it was asked for


def test_parts_and_lists_are_not_copied_twice(monkeypatch):
    import ggml_nb.method.distributions as module

    D = Distributions.from_list([np.ones((3, 2))] * 4, list("abab"))
    asked = []
    monkeypatch.setattr(module, "owned", lambda points, came, copy: asked.append(copy) or points)
    D.subset([0, 1]).subsample(2)
    Distributions.from_list([np.ones((3, 2))] * 4, list("abab"))
    assert asked == [False]  # parts do not go through the constructor


def test_labels_keep_their_type_and_order():
    clouds = [np.ones((2, 2))] * 4
    for labels in ([1, 0, 1, 0], [True, False] * 2, [2.0, 1.0] * 2, list("baba"), np.array([3, 1] * 2, object)):
        D = Distributions.from_list(clouds, labels)
        assert D.classes.tolist() == list(labels) and D.class_names.tolist() == sorted(set(labels))
        assert D.class_names.dtype == np.array(list(labels)).dtype
    ordered = pd.Categorical(["healthy", "diseased"] * 2, ["healthy", "unused", "diseased"])
    for labels in (ordered, pd.Series(ordered)):
        D = Distributions.from_list(clouds, labels)
        assert D.class_names.tolist() == ["healthy", "diseased"] and D.classes.tolist() == ["healthy", "diseased"] * 2
    assert Distributions.from_list(clouds, pd.Series([1, 0] * 2, dtype="Int64")).class_names.dtype == np.int64
    numbered = Distributions.from_list(clouds, list("abab"), sample_names=[0, 10, 1, 2])
    assert numbered.sample_names.tolist() == [0, 10, 1, 2]


def test_distances_need_no_labels():
    rng = np.random.default_rng(0)
    clouds = [rng.normal(size=(5, 2)) for _ in range(3)]
    D = Distributions.from_list(clouds)
    labelled = Distributions.from_list(clouds, [0, 1, 0])
    assert len(D) == 3 and np.array_equal(pairwise_wasserstein(D), pairwise_wasserstein(labelled))
    assert len(Distributions(np.ones((4, 2)), [0, 0, 1, 2], None)) == 3
    with pytest.raises(ValueError):
        GGML().fit(D)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda D: Distributions.from_list(None), "clouds must be a list of .* got NoneType"),
        (lambda D: GGML().fit(5, [0, 1]), "X must be a Distributions or a list of clouds, got int"),
        (lambda D: GGML().fit([D[0], D[1]], 5), "labels must be one-dimensional"),
        (lambda D: D.subsample("x"), "n_points must be a whole number of at least 1, got 'x'"),
        (lambda D: D.subsample(1.5), "n_points must be a whole number of at least 1, got 1.5"),
        (lambda D: D.subset(None), "indices must be whole numbers below"),
        (lambda D: D.subset(10**9), "indices must be whole numbers below"),
        (lambda D: make_distributions(None), "need dim >= 2.* whole numbers, got .None, 10, 100"),
        (lambda D: make_triplets(D.labels, np.nan), "t must be a whole number of at least 1, got nan"),
        (lambda D: low_rank(np.eye(3), 1.5), "rank must be a whole number in 1..3, got 1.5"),
        (lambda D: interpolate(np.eye(3), np.eye(3), None), r"weight must lie in \[0, 1\], got None"),
        (lambda D: project(D.points, "metric.npz"), "W must be a .k, d. matrix of numbers"),
        (lambda D: knn_score(np.zeros((9, 9)), None, [0], [1]), "labels must be one class each, none missing"),
        (lambda D: knn_score(np.zeros((9, 9)), [1, 2], [0], [1]), "one row per label, got .9, 9. and 2 labels"),
        (lambda D: clustering_scores(np.zeros((2, 2)), [np.nan, 1]), "labels must be one class each, none missing"),
        (lambda D: plot_embedding(np.zeros((2, 2)), "ab"), "labels must be one class each"),
        (lambda D: sample_means([D[0]]), "distributions must be a Distributions, got list"),
        (lambda D: fitted_distributions("cells.h5ad"), "adata must be an AnnData after fit_anndata, got str"),
        (
            lambda D: from_anndata(make_scrna(4, 5, 30, n_differential=5), "sample", "label", where="T"),
            "where must be a dict of columns",
        ),
    ],
)
def test_the_argument_that_is_wrong_is_named(call, message):
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        call(make_distributions(2, n_per_class=3, n_points=4))


def test_columns_of_a_frame_name_the_features():
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=["IL6", "TNF", "CD4"])
    assert Distributions(frame, [0, 0, 1, 1], [0, 1]).feature_names.tolist() == ["IL6", "TNF", "CD4"]
