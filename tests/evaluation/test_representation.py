"What SPARE asks of a table of distances, against its own words and scanpy's pseudotime."

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from ggml_nb import representation_scores
from ggml_nb.evaluation.pictures import calibrated_f1, pseudotime, replicate_robustness


def line(*x):
    return abs(np.subtract.outer(x, x)).astype(float)


def test_classes_far_apart_are_kept_and_mixed_batches_removed():
    x = np.r_[0, 1, 2, 3, 20, 21, 22, 23.0]
    labels, batches = np.repeat(["a", "b"], 4), np.tile([0, 1], 4)
    scores = representation_scores(line(*x), labels, batches, donors=np.arange(8) // 2, order=x)
    assert scores["information_retention"] == 1 and scores["batch_removal"] > 0.9
    assert scores["trajectory_correlation"] > 0.99
    assert list(representation_scores(line(*x), labels)) == ["information_retention"]


def test_the_vote_of_three_by_hand():
    x, labels = np.r_[0, 1, 2, 10, 11, 3.5], np.array([0, 0, 0, 1, 1, 1])
    said = []
    for i in range(6):
        near = np.argsort(np.delete(abs(x - x[i]), i), kind="stable")[:3]
        weight = 1 / np.delete(abs(x - x[i]), i)[near]
        said.append(np.bincount(np.delete(labels, i)[near], weight, 2).argmax())
    said = np.array(said)
    both = [2 * np.sum((labels == c) & (said == c)) / (np.sum(labels == c) + np.sum(said == c)) for c in (0, 1)]
    assert np.isclose(calibrated_f1(line(*x), labels, 3), max(0, 2 * np.mean(both) - 1))


def test_replicates_have_no_vote_on_each_other():
    donors = np.arange(24) // 2
    D = cdist(*[np.random.default_rng(0).normal(size=(12, 5))[donors]] * 2)  # replicates coincide, all else is noise
    leaky, fair = calibrated_f1(D, donors % 2, 1), representation_scores(D, donors % 2, donors=donors, k=1)
    assert leaky == 1 and fair["information_retention"] < 0.5


def test_replicates_are_ranked_among_all_others():
    D = line(0, 1, 2, 10)  # the replicate of 0 is the last of three, that of 10 too; 1 and 2 have none
    assert replicate_robustness(D, ["x", "y", "z", "x"]) == 0
    assert replicate_robustness(D, ["x", "x", "y", "z"]) == 1
    assert np.isnan(replicate_robustness(D, np.arange(4)))
    assert replicate_robustness(line(0, 1, 2, 3), ["x", "y", "x", "z"]) == 1 - np.mean([1 / 2, 2 / 2])


def test_pseudotime_is_scanpys_on_the_same_kernel():
    sc = pytest.importorskip("scanpy")
    import anndata
    from scipy import sparse

    rng = np.random.default_rng(0)
    X = np.c_[np.sort(rng.random(30)) * 5, rng.normal(0, 0.2, 30)]
    D, k = cdist(X, X), 5
    width = np.sort(D, axis=1)[:, k]
    cells = anndata.AnnData(X)
    cells.obsp["connectivities"] = sparse.csr_matrix(np.exp(-(D**2) / np.outer(width, width)))
    cells.obsp["distances"] = sparse.csr_matrix(D)
    cells.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {"method": "gauss", "n_neighbors": k},
    }
    cells.uns["iroot"] = 0
    sc.tl.diffmap(cells, n_comps=15)
    sc.tl.dpt(cells, n_dcs=15)
    ours = pseudotime(D, 0, k)
    theirs = cells.obs.dpt_pseudotime.to_numpy()
    np.testing.assert_allclose(ours / ours.max(), theirs, atol=0.02)
    assert spearmanr(ours, X[:, 0]).statistic > 0.99


@pytest.mark.parametrize("name", ["batches", "donors", "order"])
def test_what_is_known_must_fit_the_table(name):
    with pytest.raises(ValueError, match=f"{name} must have 4 entries, one per row of distances, got 3"):
        representation_scores(line(0, 1, 2, 3), [0, 0, 1, 1], **{name: [0, 1, 2]})
    with pytest.raises(ValueError, match="D must be symmetric"):
        representation_scores(np.triu(line(0, 1, 2, 3)), [0, 0, 1, 1])


def test_tables_are_read_by_name_and_similarities_refused():
    points = np.random.default_rng(0).normal(size=(12, 2)) + 9 * (np.arange(12)[:, None] % 2)
    D, names = cdist(points, points), [f"s{i}" for i in range(12)]
    labels = pd.Series(np.arange(12) % 2, names)
    turned = labels[::-1]
    assert representation_scores(pd.DataFrame(D, names, names), turned)["information_retention"] == 1
    with pytest.raises(ValueError, match="D must be 0 from a sample to itself, got 1: similarities are no distances"):
        representation_scores(np.exp(-D), labels)


def test_batches_that_go_with_the_labels_are_named():
    D = cdist(np.arange(12.0)[:, None], np.arange(12.0)[:, None])
    labels = np.repeat([0, 1], 6)
    with pytest.warns(UserWarning, match="batches and labels go together"):
        representation_scores(D, labels, batches=labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batches in (np.arange(12) % 2, np.zeros(12), np.arange(12)):
            representation_scores(D, labels, batches=batches)
