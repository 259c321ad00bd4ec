"Splits that keep every class on both sides, labels that move as the design allows, and figures that refuse nonsense."

import warnings

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from ggml_nb import Distributions, split_distributions


def clouds(labels, groups=None, seed=0):
    "A small cloud for each label."
    rng = np.random.default_rng(seed)
    return Distributions.from_list([rng.normal(size=(4, 2)) for _ in labels], labels, groups=groups)


SMALL = clouds(np.repeat(["A", "B", "C"], [20, 2, 2]))
HEAVY = clouds(np.arange(24) % 2, np.r_[np.zeros(18, int), np.arange(1, 7)])  # one donor gave 18 of 24


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


def test_a_donor_who_dominates_is_announced_once():
    with pytest.warns(UserWarning, match="test_size=0.5 became .* gave 18 of 24") as caught:
        split_distributions(HEAVY, 5)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        split_distributions(clouds(np.arange(24) % 2, np.arange(24) // 2), 5, 0.4)
