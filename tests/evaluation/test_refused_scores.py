"What would have given a wrong answer, or an error that names no argument, is refused or mended."

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline

import ggml_nb as gg

X = np.c_[np.arange(15.0), np.arange(15.0) % 4]
D, y = cdist(X, X), np.repeat(list("ABC"), 5)
CLOUDS = gg.make_distributions(3, n_per_class=5, n_points=4, noise_scale=3, seed=0)
HALVES = range(0, 15, 2), range(1, 15, 2)
NAN = [np.nan] * 15
TABLE, ANSWERS = gg.cross_validate(CLOUDS, gg.GGML(max_epochs=1, random_state=0), n_splits=2, return_answers=True)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_what_is_given_for_each_point_goes_with_its_point():
    edges = ["red", "lime", "blue"] * 5
    how = {"s": 10 + np.arange(15), "alpha": np.linspace(0.1, 1, 15), "edgecolors": edges}
    drawn = gg.plot_embedding(X, y, linewidths=1, **how).collections[0]
    at = drawn.get_offsets()[:, 0].astype(int)
    assert (at != np.arange(15)).any() and (drawn.get_sizes() == 10 + at).all()
    assert (drawn.get_alpha() == how["alpha"][at]).all()
    assert [edges.index("red lime blue".split()[i]) for i in drawn.get_edgecolors()[:, :3].argmax(axis=1)] == list(
        at % 3
    )
    few = gg.plot_embedding(X[:3], y[:3], plt.figure().gca(), edgecolors=[1, 0, 0.5]).collections[0]  # one colour
    assert few.get_edgecolors().tolist() == [[1, 0, 0.5, 1]]


def test_counts_are_distances():
    whole = np.rint(100 * D).astype(int)
    assert gg.plot_clustermap(whole, y).images
    assert gg.clustering_scores(whole, y) == gg.clustering_scores(whole.astype(float), y)


def test_twenty_values_more_than_colours_are_drawn():
    many = np.arange(42.0)
    assert gg.plot_clustermap(cdist(many[:, None], many[:, None]), many % 2, bars={"donor": many}).images


def test_batches_are_names_of_any_values():
    numbers = np.tile([0.5, 1.5, 2.5], 5)
    scores = [gg.representation_scores(D, y, batches=x, donors=x) for x in (numbers, numbers.astype(str))]
    assert scores[0] == scores[1]
    data = gg.Distributions(CLOUDS.points, CLOUDS.sample, y, batches=numbers)
    assert gg.compare_metrics(data, ["euclidean"], n_splits=1).batch_removal.between(0, 1).all()


def test_cell_types_are_read_by_the_names_of_the_cells():
    data = gg.Distributions(CLOUDS.points, CLOUDS.sample, y)
    data.point_names = np.array([f"c{i}" for i in range(len(data.sample))])
    types = pd.Series(np.where(data.points[:, 0] > 20, "high", "low"), data.point_names)
    how = {"methods": ["composition", "pilot"], "n_splits": 2}
    tables = [gg.compare_metrics(data, cell_types=x, **how) for x in (types, types.sample(frac=1, random_state=0))]
    assert tables[0].drop(columns="seconds").equals(tables[1].drop(columns="seconds"))
    with pytest.raises(ValueError, match="cell_types must name each of the .* points, none missing"):
        gg.compare_metrics(data, cell_types=np.full(len(types), np.nan), **how)


def test_points_without_mass_count_nowhere():
    n, pad = len(CLOUDS.sample), np.repeat(np.arange(15), 3)
    points = np.vstack([CLOUDS.points, np.full((45, 3), 1000.0)])
    types = np.r_[np.where(CLOUDS.points[:, 0] > 20, "high", "low"), ["none"] * 45]
    padded = gg.Distributions(points, np.r_[CLOUDS.sample, pad], y, np.r_[np.ones(n), np.zeros(45)])
    plain = gg.Distributions(CLOUDS.points, CLOUDS.sample, y)
    how = {"methods": ["euclidean", "composition", "pilot", "pca"], "level": ("sample", "point"), "n_splits": 2}
    tables = [gg.compare_metrics(x, cell_types=types[: len(x.sample)], **how) for x in (plain, padded)]
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables))


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: gg.knn_score(np.full((15, 15), np.nan), y, *HALVES), "D has [0-9]+ missing"),
        (lambda: gg.knn_score(-D, y, *HALVES), "distances of at least 0, got -"),
        (lambda: gg.knn_score(D, y, HALVES[0], [-1, 1]), "test must hold rows of D, whole numbers from 0 to 14"),
        (lambda: gg.knn_score(D, y, [15], HALVES[1]), "train must hold rows of D"),
        (lambda: gg.knn_score(D, y, [], HALVES[1]), "train must hold rows of D"),
        (lambda: gg.knn_score(D, np.ma.masked_equal(np.arange(15), 3), *HALVES), "labels must be .* none missing"),
        (lambda: gg.plot_clustermap(D.astype(str) + "m", y), "D must be a square matrix of numbers: could not"),
        (lambda: gg.plot_clustermap(D * 1j, y), "D must be a square matrix of numbers"),
        (lambda: gg.plot_clustermap(np.ma.masked_array(D, D > 9), y), "D must be .* masked array, whose mask"),
        (lambda: gg.plot_clustermap(D, y, names=["a"]), r"names must have one value for each of the 15 rows.*\(1,\)"),
        (
            lambda: gg.plot_clustermap(D, y, bars={"b": ["x"] * 24}),
            r"b must have one .* \(24,\)",
        ),
        (lambda: gg.plot_clustermap(D, y, palette=[]), "list of 3 colours, one a class, got 0"),
        (lambda: gg.plot_embedding(X, y, palette=["red"]), "list of 3 colours, one a class, got 1"),
        (lambda: gg.plot_embedding(X, y, palette="viridis"), "list of 3 colours, one a class, got 'viridis'"),
        (lambda: gg.plot_embedding(X, y, plt.subplots(1, 2)[1]), "ax must be one matplotlib Axes, got ndarray"),
        (lambda: gg.plot_grid(None, "rank", "lr"), "grid must be the DataFrame of grid_search, got NoneType"),
        (lambda: gg.accuracy_interval(ANSWERS, level=np.nan), "level must lie between 0 and 1, got nan"),
        (lambda: gg.accuracy_interval(ANSWERS.assign(vote=np.nan)), "answers are numbers"),
        (lambda: gg.accuracy_interval(TABLE), "answers must be the DataFrame of answers that .* without donor, truth"),
        (lambda: gg.accuracy_interval((TABLE, ANSWERS)), "answers must be .* got tuple"),
        (lambda: gg.majority_answers(gg.majority_answers(ANSWERS)), "answers must be .* without prediction, vote"),
        (lambda: gg.majority_answers(ANSWERS[:0]), "answers must be .* without rows"),
        (lambda: gg.cross_validate(CLOUDS, make_pipeline(gg.GGML())), "model must be .* fit and pairwise"),
        (lambda: gg.grid_search(CLOUDS, {"rank": [1]}, return_answers=True), "return_answers cannot be given"),
        (lambda: gg.compare_metrics(CLOUDS, ["euclidean"], cache=5), "cache must be the path of a folder, got 5"),
        (lambda: gg.representation_scores(D, y, batches=NAN), "batches has missing values"),
        (lambda: gg.representation_scores(D, y, order=["a"] * 15), "order must be finite numbers"),
        (lambda: gg.representation_scores(D, y, order=np.r_[np.inf, np.arange(14)]), "order must be finite numbers"),
        (lambda: gg.representation_scores(D * 0, y, order=np.arange(15)), "some distances above 0"),
        (lambda: gg.representation_scores(D, y, order=np.arange(15), root=99), "root == 99, must be <= 14"),
        (lambda: gg.representation_scores(D, y, k=0), "k == 0"),
    ],
)
def test_it_is_said_which_argument_is_wrong(call, match):
    with pytest.raises((TypeError, ValueError), match=match):
        call()


def test_answers_that_are_numbers_have_no_accuracy():
    class Means(BaseEstimator):
        target = "ordered"

        def fit(self, data):
            return self

        def pairwise(self, data):
            return np.abs(np.subtract.outer(*[[data[i].mean() for i in range(len(data))]] * 2))

    ordered = gg.Distributions(CLOUDS.points, CLOUDS.sample, np.arange(15.0))
    answers = gg.cross_validate(ordered, Means(), n_splits=2, return_answers=True)[1]
    with pytest.raises(ValueError, match="answers are numbers"):
        gg.accuracy_interval(answers)
    assert "right" not in gg.majority_answers(answers)
    with pytest.raises(ValueError, match="answers must be numbers, .* got 'x'"):
        gg.spearman_interval(answers.assign(prediction="x"))
    for level in (0, 1, 95, np.nan):
        with pytest.raises(ValueError, match="level"):
            gg.spearman_interval(answers, level)


def test_a_vote_reads_only_the_rows_of_those_asked_about():
    known, asked = HALVES
    part = np.full(D.shape, np.nan)  # as where only some pairs have been solved
    part[np.ix_(asked, known)] = D[np.ix_(asked, known)]
    assert gg.knn_score(part, y, *HALVES) == gg.knn_score(D, y, *HALVES)
