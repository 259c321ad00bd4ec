"Splits that keep every class on both sides, labels that move as the design allows, and figures that refuse nonsense."

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr
from sklearn.base import BaseEstimator
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import StratifiedShuffleSplit

from ggml_nb import (
    GGML,
    Distributions,
    TunedGGML,
    clustering_scores,
    cross_validate,
    grid_search,
    knn_score,
    make_distributions,
    permutation_test,
    plot_clustermap,
    split_distributions,
)
from ggml_nb.estimator.fisher import shuffle_labels
from ggml_nb.estimator.metric import vote
from ggml_nb.evaluation.chance import (
    accuracy_interval,
    majority_answers,
    other_labellings,
    partition,
    shuffle_within,
    spearman_interval,
    strata,
)
from ggml_nb.evaluation.tuning import make_trials


class Means(BaseEstimator):
    "Distances between the means of clouds: nothing to learn, and quick."

    def fit(self, data):
        return self

    def pairwise(self, data):
        return pairwise_distances([data.points[data.rows(i)].mean(axis=0) for i in range(len(data))])


def clouds(labels, groups=None, batches=None, seed=0):
    "A small cloud for each label."
    rng = np.random.default_rng(seed)
    return Distributions.from_list([rng.normal(size=(4, 2)) for _ in labels], labels, groups=groups, batches=batches)


SMALL = clouds(np.repeat(["A", "B", "C"], [20, 2, 2]))
HEAVY = clouds(np.arange(24) % 2, np.r_[np.zeros(18, int), np.arange(1, 7)])  # one donor gave 18 of 24


@pytest.mark.parametrize("donors", [None, np.repeat(np.arange(12), 2)])
def test_every_class_of_every_batch_is_on_both_sides(donors):
    "Without a word on batches, some halves of these samples lack one."
    labels, batches = np.repeat([0, 0, 1, 1], [10, 4, 2, 8]), np.repeat(["a", "b", "a", "b"], [10, 4, 2, 8])
    if donors is not None:
        labels, batches, donors = (np.r_[x, x[-10:-8]] for x in (labels, batches, donors + 0))
        labels[-2:], batches[-2:], donors[-2:] = 1, "a", 12  # a second donor for class 1 in batch a
    data, strata = clouds(labels, donors, batches), np.unique([labels, batches == "a"], axis=1, return_inverse=True)[1]
    for train, test in split_distributions(data, 20):
        assert len(np.unique(strata[train])) == len(np.unique(strata[test])) == 4
    data.batches = None
    assert min(len(np.unique(strata[half])) for split in split_distributions(data, 20) for half in split) < 4


@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.5, 0.85])
def test_small_classes_are_on_both_sides(test_size):
    for train, test in split_distributions(SMALL, 20, test_size):
        assert set(SMALL.labels[train]) == set(SMALL.labels[test]) == {0, 1, 2}
        assert len(test) == np.ceil(test_size * 24) and sorted([*train, *test]) == list(range(24))


@pytest.mark.parametrize("labels", [np.arange(24) % 2, np.repeat([0, 1, 2], [15, 6, 3])])
def test_a_draw_with_every_class_stays_as_it_is(labels):
    draws = StratifiedShuffleSplit(30, test_size=0.3, random_state=4).split(labels, labels)
    for drawn, split in zip(draws, split_distributions(clouds(labels), 30, 0.3, seed=4)):
        assert all(np.array_equal(np.sort(a), b) for a, b in zip(drawn, split))


def test_mended_splits_are_the_same_for_a_seed_and_differ_within():
    first, again = (split_distributions(SMALL, 20, 0.2, seed=1) for _ in range(2))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again))
    assert len({tuple(test[SMALL.labels[test] > 0]) for _, test in first}) > 2  # not always the same two


@pytest.mark.parametrize(
    "data, wrong, match",
    [
        (SMALL, {"test_size": 0.05}, r"test_size=0.05 leaves 22 of 24 .* 2 to test, .* all 3 classes"),
        (SMALL, {"test_size": 0.95}, r"test_size=0.95 leaves 1 of 24"),
        (SMALL, {"test_size": "half"}, "test_size .* 'half'"),
        (SMALL, {"test_size": 1.5}, "test_size must be a share between 0 and 1, got 1.5"),
        (clouds(["A", "A", "B", "B"], [0, 1, 2, 2]), {}, r"groups: all samples of \['B'\] are of one donor"),
        (SMALL, {"n_splits": 2.5}, "n_splits .* 2.5"),
        (SMALL, {"n_splits": "2"}, "n_splits .* '2'"),
        (SMALL, {"seed": "a"}, "seed .* 'a'"),
        (HEAVY, {"seed": -1}, "seed .* -1"),
        (HEAVY, {"n_splits": 0}, "n_splits .* 0"),
        (HEAVY, {"test_size": 0.85}, "groups: .* test_size=0.85"),
        (clouds(["A", "A", "B"]), {}, r"labels: \['B'\]"),
    ],
)
def test_impossible_splits_name_the_argument(data, wrong, match):
    with pytest.raises(ValueError, match=match):
        split_distributions(data, **wrong)


@pytest.mark.parametrize("groups", [None, np.arange(23), np.r_[np.arange(10), np.arange(10), 20, 21, 22]])
def test_two_of_three_are_there_to_learn_from(groups):
    data = clouds(np.repeat(["A", "B"], [20, 3]), groups)
    for train, test in split_distributions(data, 20):
        assert (data.labels[train] == 1).sum() == 2 and (data.labels[test] == 1).sum() == 1


def test_classes_of_two_are_told_before_any_work():
    with pytest.warns(UserWarning, match=r"\['B', 'C'\] have two distributions"):
        split_distributions(SMALL)


@pytest.mark.parametrize("model", [None, "means"])
def test_three_against_twenty_are_found(model):
    labels = np.repeat(["A", "B"], [20, 3])
    rng = np.random.default_rng(0)
    data = Distributions.from_list([rng.normal(2 * (c == "B"), 1, (8, 3)) for c in labels], labels)
    splits = 2 if model is None else 10
    assert cross_validate(data, model and Means(), splits).balanced_accuracy.min() >= 0.9


def test_the_vote_never_asks_more_neighbours_than_the_smallest_class_has():
    D = np.array([[1.0, 1.1, 1.2, 1.3, 1.4, 1.5]])  # the three nearest are A's, but B has only two
    share, classes = vote(D, np.array(["A", "A", "A", "A", "B", "B"]))
    assert classes.tolist() == ["A", "B"] and share.tolist() == [[1, 0]]
    share, _ = vote(np.array([[2.0, 9, 9, 9, 1, 9]]), np.array(["A", "A", "A", "A", "B", "B"]))
    np.testing.assert_allclose(share, [[1 / 8, 1 / 2]] / np.float64(5 / 8))
    same = vote(np.array([[0.0, 1, 0, 3]]), np.array(["A", "A", "B", "B"]))[0]
    assert same.tolist() == [[0.5, 0.5]]  # distance 0 has all the say


def test_a_score_needs_disjoint_sides_and_a_square():
    with pytest.raises(ValueError, match="train and test share indices"):
        knn_score(LINE, [0, 0, 1, 1], [0, 1, 2], [2, 3])
    with pytest.raises(ValueError, match="D must be a square matrix"):
        knn_score(LINE[:2], [0, 0, 1, 1], [0, 1], [2, 3])


def test_answers_are_those_of_the_figures():
    data = clouds(np.repeat(["A", "B"], 8), np.arange(16) // 2)
    table, answers = cross_validate(data, Means(), 6, return_answers=True)
    assert list(answers) == ["split", "sample", "donor", "truth", "prediction", "vote"]
    right = (answers.truth == answers.prediction).groupby(answers.split).mean()
    np.testing.assert_allclose(right, table.accuracy)
    assert answers.vote.between(0.5, 1).all() and len(answers) == sum(len(t) for _, t in split_distributions(data, 6))
    majority = majority_answers(answers)
    assert majority.splits.sum() == len(answers) and majority["sample"].is_unique
    agree = answers.merge(majority, on="sample")
    share = (agree.prediction == agree.answer).groupby(agree["sample"]).mean()
    np.testing.assert_allclose(majority.agreement, share[majority["sample"]])


def test_of_equal_counts_the_larger_vote_wins():
    rows = {"split": [0, 1], "sample": "s", "donor": "d", "truth": "A", "prediction": ["A", "B"], "vote": [0.6, 0.9]}
    assert majority_answers(pd.DataFrame(rows)).iloc[0].to_dict() == {
        "sample": "s", "donor": "d", "truth": "A", "answer": "B", "agreement": 0.5, "right": 0.5, "splits": 2
    }  # fmt: skip


@pytest.mark.parametrize("balanced", [True, False])
def test_an_interval_over_donors_stays_within_bounds_and_keeps_a_width(balanced):
    for wrong in (0, 1, 4, 8):
        truth, donors = np.repeat(["A", "B"], 4), np.arange(8)
        said = np.where(donors < wrong, "C", truth)
        answers = pd.DataFrame({"donor": donors, "truth": truth, "prediction": said})
        estimate, low, high = accuracy_interval(answers, balanced=balanced)
        assert 0 <= low <= estimate <= high <= 1 and high - low > 0.2 and np.isclose(estimate, 1 - wrong / 8)
    twice = pd.concat([answers, answers])  # more splits of the same donors are no more donors
    assert accuracy_interval(twice) == accuracy_interval(answers)


@pytest.mark.parametrize("n", [2, 3, 4, 12, 200])
def test_an_interval_of_correlations_lies_within_bounds_and_keeps_a_width(n):
    truth, rng = np.arange(n), np.random.default_rng(n)
    for said in (truth, -truth, np.zeros(n), rng.normal(size=n)):
        answers = pd.DataFrame({"split": 0, "donor": truth, "truth": truth, "prediction": said})
        rho, low, high = spearman_interval(answers)
        assert -1 <= low <= rho <= high <= 1 and high > low
        assert np.isclose(rho, spearmanr(truth, said).statistic if np.ptp(said) else 0)
        twice = pd.concat([answers, answers.assign(split=1)])  # more splits of the same donors are no more donors
        assert spearman_interval(twice) == (rho, low, high)
    if n == 12:  # Fisher's interval of a plain correlation differs by the variance only
        plain = pearsonr(rankdata(said), truth).confidence_interval()
        ratio = (np.arctanh(high) - np.arctanh(low)) / (np.arctanh(plain.high) - np.arctanh(plain.low))
        assert np.isclose(ratio, np.sqrt(1 + rho**2 / 2))


def test_a_donor_who_dominates_is_announced_once():
    with pytest.warns(UserWarning, match="test_size=0.5 became .* gave 18 of 24") as caught:
        split_distributions(HEAVY, 5)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_distributions(clouds(np.arange(24) % 2, np.arange(24) // 2), 5, 0.4)


def test_whole_donors_swap_beside_one_of_two_classes():
    labels, groups = np.r_[0, 1, np.arange(20) % 2], np.r_[0, 0, np.arange(1, 21)]
    data, rng = clouds(labels, groups), np.random.default_rng(0)
    shuffles = np.array([shuffle_labels(data, rng).labels for _ in range(50)])
    assert len(np.unique(shuffles, axis=0)) > 45 and (shuffles[:, :2].sum(axis=1) == 1).all()
    assert (shuffles.sum(axis=1) == labels.sum()).all() and np.array_equal(data.labels, labels)


def test_donors_of_several_samples_stay_whole_and_mixed_ones_at_home():
    groups = np.repeat(np.arange(6), [1, 2, 3, 4, 2, 4])
    labels = np.array([0, 1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 2, 2])
    data, rng = clouds(labels, groups), np.random.default_rng(1)
    for _ in range(20):
        new = shuffle_labels(data, rng).labels
        classes = [new[groups == g] for g in range(4)]
        assert all(len(set(c)) == 1 for c in classes) and sorted(c[0] for c in classes) == [0, 0, 1, 1]
        assert all(sorted(new[groups == g]) == sorted(labels[groups == g]) for g in (4, 5))


def test_permutation_test_sees_past_one_donor_of_two_classes():
    labels, groups = np.r_[0, 1, np.arange(20) % 2], np.r_[0, 0, np.arange(1, 21)]
    rng = np.random.default_rng(0)
    data = Distributions.from_list([rng.normal(9 * c, 1, (4, 2)) for c in labels], labels, groups=groups)
    result = permutation_test(data, Means(), n_permutations=19, n_splits=1)
    assert result["p_value"] == 1 / 20 and len(np.unique(result["chance"])) > 3


def test_labels_that_cannot_move_are_refused_before_any_work():
    one_class = clouds(np.zeros(6, int))
    with pytest.raises(ValueError, match="labels: need at least two classes, got one"):
        permutation_test(one_class, model="never fitted")
    with pytest.raises(ValueError, match="seed must be None or an integer"):
        permutation_test(clouds([0, 0, 0, 1, 1, 1]), model="never fitted", seed=-1)


def test_few_labellings_are_all_tried_once_and_the_truth_never():
    "Five paired donors: 2^5 labellings, half of them mirrors of the others, one half the truth."
    paired = clouds(np.tile([0, 1], 5), np.repeat(np.arange(5), 2))
    with pytest.warns(UserWarning, match="only 15 ways .* at least 0.062"):
        others = [partition(x.labels) for x in other_labellings(paired, 20)]
    assert len(set(others)) == 15 and partition(paired.labels) not in others
    separate = clouds([0, 0, 1, 1])
    with pytest.warns(UserWarning, match="only 2 ways"):
        result = permutation_test(separate, Means(), n_permutations=19, n_splits=1)
    assert result["p_value"] >= 1 / 3 and len(result["chance"]) == 2
    assert len(other_labellings(clouds(np.arange(40) % 2), 20)) == 20


def test_labels_move_within_batches_and_donors():
    labels = np.r_[0, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1]
    groups = np.r_[0, 0, 1, 1, 2, 3, 4, 5, 6, 6, 6, 6]  # the last is of both classes
    data = clouds(labels, groups, batches=np.r_[1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 2, 2])
    rng, places = np.random.default_rng(0), strata(data)
    assert sorted(np.concatenate(places)) == list(range(12))
    moved = np.array([shuffle_within(data, rng, places).labels for _ in range(60)])
    assert (moved[:, [0, 2]] == moved[:, [1, 3]]).all()  # donors stay whole
    for rows in ([0, 2], [4, 5, 6, 7], [8, 9], [10, 11]):
        assert (np.sort(moved[:, rows]) == np.sort(labels[rows])).all() and len(np.unique(moved[:, rows], axis=0)) > 1
    assert np.array_equal(data.labels, labels)


def test_a_batch_that_is_the_class_leaves_nothing_to_shuffle():
    data = clouds([0, 0, 0, 1, 1, 1], batches=["a", "a", "a", "b", "b", "b"])
    with pytest.raises(ValueError, match="no shuffle within groups and batches .* in a batch"):
        permutation_test(data, model="never fitted")


def test_a_p_value_that_cannot_fall_is_announced_before_any_work():
    with pytest.warns(UserWarning, match="n_permutations=9: p is at least 0.1"):
        other_labellings(clouds(np.arange(12) % 2), 9)
    with pytest.raises(ValueError, match="statistic must be"):
        permutation_test(clouds(np.arange(12) % 2), Means(), statistic="f1")


LINE = np.abs(np.subtract.outer([0.0, 1, 10, 11], [0.0, 1, 10, 11]))
ONE_NAN = np.where(LINE == 11, np.nan, LINE)


@pytest.mark.parametrize("score", [clustering_scores, plot_clustermap])
@pytest.mark.parametrize(
    "D, labels, match",
    [
        (LINE, [0, 0, 1], r"\(4, 4\) and 3 labels"),
        (LINE, [0, 0, 1, 1, 1], r"\(4, 4\) and 5 labels"),
        (LINE[0], [0, 0, 1, 1], r"D must be a square"),
        (LINE[:1, :1], [0], "2 rows or more"),
        (np.triu(LINE), [0, 0, 1, 1], r"symmetric, got D\[0, 3\] = 11 but D\[3, 0\] = 0"),
        (ONE_NAN, [0, 0, 1, 1], "D has 2 missing"),
    ],
)
def test_a_matrix_that_holds_no_distances_is_refused(score, D, labels, match):
    plt.close("all")  # of other tests
    with pytest.raises(ValueError, match=match):
        score(D, labels)
    assert not plt.get_fignums()  # and no empty figure is left behind


def test_clusters_are_counted_or_cut_but_not_both():
    with pytest.raises(ValueError, match="n_clusters or threshold, not both, got 2 and 5"):
        clustering_scores(LINE, [0, 0, 1, 1], n_clusters=2, threshold=5)
    for wrong in (0, 5, 2.0):
        with pytest.raises(ValueError, match=f"n_clusters .* from 1 to 4, .* got {wrong}"):
            clustering_scores(LINE, [0, 0, 1, 1], n_clusters=wrong)
    rounded = LINE + np.random.default_rng(0).normal(0, 1e-6, LINE.shape)  # single precision is symmetric enough
    assert clustering_scores(rounded, [0, 0, 1, 1], threshold=5)["ari"] == 1


def test_a_grid_is_checked_before_it_is_searched():
    data = clouds(np.arange(12) % 2)
    with pytest.raises(ValueError, match="rank must be .* got 0"):
        make_trials(GGML(), {"rank": [1, 0]})
    for search in (lambda: grid_search("no data", {"rank": [1, 0]}), TunedGGML({"rank": [1, 0]}).trials):
        with pytest.raises(ValueError, match="rank"):
            search()
    with pytest.raises(ValueError, match="'rnk'"):
        grid_search(data, {"rnk": [1]})
    with pytest.raises(ValueError, match="k == 0"):
        cross_validate(data, "never fitted", k=0)


def test_a_checkpoint_is_of_one_fit_not_of_a_cross_validation(tmp_path):
    data = make_distributions(3, n_per_class=6, n_points=8, seed=0)
    model = GGML(max_epochs=2, checkpoint=tmp_path / "fit.ckpt", random_state=0)
    assert len(cross_validate(data, model, n_splits=2)) == 2
    assert not list(tmp_path.iterdir()) and model.checkpoint is not None


def test_other_numbers_are_another_labelling_whatever_they_part():
    rng = np.random.default_rng(0)
    data = Distributions.from_list([rng.normal(size=(5, 2)) + i for i in range(8)], np.arange(8))
    found = permutation_test(data, GGML(target="ordered", max_epochs=1, random_state=0), n_permutations=19, n_splits=1)
    assert len(found["chance"]) == 19


def test_answers_of_categories_and_of_several_methods():
    data = make_distributions(3, n_per_class=4, n_points=5, noise_scale=2, seed=0)
    answers = cross_validate(data, GGML(max_epochs=1, random_state=0), n_splits=2, return_answers=True)[1]
    coded = answers.assign(truth=pd.Categorical(answers.truth), sample=pd.Categorical(answers["sample"]))
    assert accuracy_interval(coded) == accuracy_interval(answers)
    assert len(majority_answers(coded[coded["sample"] != coded["sample"][0]])) == answers["sample"].nunique() - 1
    with pytest.raises(ValueError, match="are of 2 methods"):
        accuracy_interval(pd.concat([answers.assign(method="a"), answers.assign(method="b")]))
    with pytest.raises(ValueError, match="level"):
        accuracy_interval(answers, level=95)
