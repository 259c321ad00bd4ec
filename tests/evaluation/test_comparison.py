"The comparison of metrics: budgets, the cache, the point level, and intervals."

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier

from ggml_nb import (
    GGML,
    Distributions,
    TunedGGML,
    compare_metrics,
    confidence_interval,
    make_distributions,
    split_distributions,
)
from ggml_nb.evaluation.baselines import (
    BASELINES,
    METHODS,
    SUMMARIES,
    learn_baseline,
    linear_answers,
    pilot_distances,
    pivoted_cholesky,
    summary,
)
from ggml_nb.evaluation.budget import dismiss, make_jobs, within_budget
from ggml_nb.evaluation.comparison import COLUMNS, SCORES, is_fixed

BASIC = ["method", "split", *SCORES]  # what callers relied on before there were levels


@pytest.fixture(scope="module")
def clouds():
    return make_distributions(5, n_per_class=8, n_points=10, noise_scale=3, seed=0)


class Endless(torch.nn.Linear):
    "A layer that sleeps for an hour."

    def forward(self, x):
        time.sleep(3600)


class Hungry(torch.nn.Linear):
    "A layer that takes 32 MiB, and again, and again."

    def forward(self, x):
        eaten = []
        while True:
            eaten.append(torch.ones(2**23))
            time.sleep(0.02)


def test_columns_and_defaults(clouds):
    table = compare_metrics(clouds, n_splits=2)
    assert list(table.columns) == list(COLUMNS) and table.columns[: len(BASIC)].tolist() == BASIC
    assert table.method.unique().tolist() == ["euclidean", "manhattan", "cosine", "ggml"]
    assert (table.level == "sample").all() and (table.status == "ok").all()
    assert table[table.method == "ggml"].accuracy.mean() > 0.8


def test_runaways_are_killed_and_the_others_go_on(clouds):
    methods = {
        "endless": GGML(metric=Endless(5, 2), random_state=0),
        "euclidean": "euclidean",
        "hungry": GGML(metric=Hungry(5, 2), random_state=0),
    }
    began = time.monotonic()
    table = compare_metrics(clouds, methods, n_splits=1, seconds=6, gib=0.5, n_jobs=1)
    assert table.status.tolist() == ["OOT", "ok", "OOM"]
    assert table.loc[table.status != "ok", list(SCORES)].isna().all(axis=None)
    assert time.monotonic() - began < 600
    plain = compare_metrics(clouds, ["euclidean"], n_splits=1)  # the same figures without a child
    np.testing.assert_allclose(table.accuracy[1], plain.accuracy[0])


class Column(BaseEstimator):
    "Keeps one feature, and does what it is told while it learns."

    def __init__(self, column=0, misdeed=None):
        self.column, self.misdeed = column, misdeed

    def fit(self, distributions):
        if self.misdeed:
            self.misdeed()
        return self

    def transform(self, points):
        return points[:, [self.column]].astype(float)


class Worse(Column):
    "The same parameters, another method."

    def transform(self, points):
        return super().transform(points) * 0


def leave():
    sys.exit(3)


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def fork():
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()


def start_another(folder):
    Path(folder, "pid").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)


@pytest.mark.parametrize("misdeed", [leave, crash])
def test_a_method_that_breaks_says_why_and_the_others_go_on(clouds, misdeed):
    methods, how = (
        {"mine": Column(misdeed=misdeed), "euclidean": "euclidean"},
        {"n_splits": 1, "seconds": 120, "n_jobs": 1},
    )
    with pytest.warns(RuntimeWarning, match="mine failed"):
        table = compare_metrics(clouds, methods, **how)
    assert table.status.tolist() == ["failed", "ok"] and table.note[0]


def test_a_network_of_the_wrong_width_fails_alone(clouds):
    methods = {"mine": GGML(metric=torch.nn.Linear(4, 2), random_state=0), "euclidean": "euclidean"}
    with pytest.warns(RuntimeWarning, match="mine failed"):
        assert compare_metrics(clouds, methods, n_splits=1).status.tolist() == ["failed", "ok"]
    with pytest.raises(RuntimeError, match="all methods failed"):
        compare_metrics(clouds, {"mine": methods["mine"]}, n_splits=1)


def test_a_method_may_fork(clouds):
    table = compare_metrics(clouds, {"forks": Column(misdeed=fork)}, n_splits=2, seconds=60, n_jobs=1)
    assert (table.status == "ok").all()


def test_what_a_runaway_started_ends_with_it(clouds, tmp_path):
    methods = {"mine": Column(misdeed=partial(start_another, str(tmp_path)))}
    assert compare_metrics(clouds, methods, n_splits=1, seconds=3, n_jobs=1).status.tolist() == ["OOT"]
    stat = Path("/proc", Path(tmp_path, "pid").read_text(), "stat")
    time.sleep(0.5)
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_the_cache_tells_methods_apart(clouds, tmp_path):
    how = {"n_splits": 1, "cache": tmp_path}
    first, second = (compare_metrics(clouds, {"mine": method}, **how).accuracy[0] for method in (Column(), Worse()))
    assert first > second
    rng = np.random.default_rng(0)
    for init in (np.eye(1, 5), rng.normal(size=(1, 5))):  # in a model inside a model, too long for repr
        tuned = TunedGGML({"reg": [0.0]}, GGML(init=init, rank=1, max_epochs=1, random_state=0))
        compare_metrics(clouds, {"tuned": tuned}, **how)
    for seed in range(2):
        torch.manual_seed(seed)
        compare_metrics(clouds, {"net": TunedGGML({"lr": [0.01]}, GGML(metric=torch.nn.Linear(5, 2)))}, **how)
    assert len(list(tmp_path.iterdir())) == 6
    names = compare_metrics(clouds, {"my metric": "euclidean"}, **how).method.tolist()
    names += compare_metrics(clouds, {"my-metric": "euclidean"}, **how).method.tolist()
    assert names == ["my metric", "my-metric"]


def test_a_fixed_metric_has_a_job_for_its_distances_and_one_a_split_of_points():
    "So that an interrupted point level keeps the splits that it has judged."
    wanted = [("euclidean", s, level) for s in range(3) for level in ("sample", "point")]
    jobs = [todo for _, _, todo in make_jobs({"euclidean": "euclidean"}, is_fixed, wanted)]
    assert sorted(map(len, jobs)) == [1, 1, 1, 3] and sorted(sum(jobs, [])) == sorted(x[1:] for x in wanted)


def begin_and_hang():
    yield {"split": 0}
    time.sleep(600)


def test_rows_that_came_before_a_kill_are_kept():
    assert within_budget("hang", begin_and_hang, [], seconds=2, gib=1) == {"results": [{"split": 0}], "status": "OOT"}
    dismiss("hang")


def test_an_interrupted_run_resumes(clouds, tmp_path):
    how = {"n_splits": 2, "cache": tmp_path / "cache"}
    half = compare_metrics(clouds, ["euclidean"], **how)
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(files) == 2 and all(name.endswith(".json") for name in files)
    whole = compare_metrics(clouds, ["euclidean", "ggml-start"], **how)
    pd.testing.assert_frame_equal(whole[:2], half)
    now = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(now) == 4 and files.items() <= now.items()
    other = compare_metrics(clouds.subset(np.arange(20)), ["euclidean"], **how)  # other data: nothing is mixed up
    assert len(list((tmp_path / "cache").iterdir())) == 6
    pd.testing.assert_frame_equal(compare_metrics(clouds.subset(np.arange(20)), ["euclidean"], **how), other)


def test_a_damaged_cache_file_is_made_anew(clouds, tmp_path):
    first = compare_metrics(clouds, ["euclidean"], n_splits=1, cache=tmp_path)
    for path in tmp_path.iterdir():
        path.write_text('{"row": {"accu')
    again = compare_metrics(clouds, ["euclidean"], n_splits=1, cache=tmp_path)
    assert again.accuracy.tolist() == first.accuracy.tolist()


def test_a_larger_budget_tries_again(clouds, tmp_path):
    methods = {"slow": GGML(random_state=0, margin=1e9, patience=10**6, max_epochs=100)}
    how = {"n_splits": 1, "cache": tmp_path, "n_jobs": 1}
    assert compare_metrics(clouds, methods, seconds=0.1, **how).status.tolist() == ["OOT"]
    assert compare_metrics(clouds, methods, seconds=300, **how).status.tolist() == ["ok"]


@pytest.mark.parametrize("level", ["sample", "point"])
def test_donors_stay_on_one_side(level):
    "Donors who are alike in nothing but themselves: chance where they are held out."
    rng = np.random.default_rng(0)
    donors = np.repeat(np.arange(12), 4)  # four samples of each, five points a sample
    points = np.repeat(rng.normal(0, 10, (12, 3))[donors], 5, axis=0) + rng.normal(size=(240, 3))
    data = Distributions(points, np.repeat(np.arange(48), 5), donors % 2, groups=donors)
    table = compare_metrics(data, ["euclidean"], level, n_splits=6, k=1)
    free = Distributions(points, np.repeat(np.arange(48), 5), donors % 2)
    leaky = compare_metrics(free, ["euclidean"], level, n_splits=6, k=1)
    assert table.accuracy.mean() < 0.75 and leaky.accuracy.mean() > 0.85


def test_point_level_against_scikit_learn(clouds):
    table = compare_metrics(clouds, ["manhattan"], "point", n_splits=2, k=7)
    y = clouds.labels[clouds.sample]
    for s, (train, test) in enumerate(split_distributions(clouds, 2)):
        inside, outside = np.isin(clouds.sample, train), np.isin(clouds.sample, test)
        vote = KNeighborsClassifier(7, weights="distance", metric="manhattan")
        expected = vote.fit(clouds.points[inside], y[inside]).score(clouds.points[outside], y[outside])
        assert np.isclose(table.accuracy[s], expected)


def test_clusters_are_judged_on_the_points_asked_for(clouds):
    informative = np.tile(np.repeat([True, False, False], 10), len(clouds))
    how = {"methods": ["ggml-start"], "level": "point", "n_splits": 2, "k": 20}
    every, some = compare_metrics(clouds, **how), compare_metrics(clouds, clustered=informative, **how)
    assert every.accuracy.equals(some.accuracy) and some.ari.mean() > 0.3 > every.ari.mean()


def test_baselines_find_the_axis_that_tells_the_classes():
    pytest.importorskip("metric_learn")
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    X = rng.normal(size=(120, 4)) + 4 * y[:, None] * (np.arange(4) == 1)
    for name in BASELINES:
        W, error = learn_baseline(name, X, y, 1, 0)
        assert W.shape == (1, 4) and np.abs(W[0]).argmax() == 1, name
        assert (error > 0) == (name == "itml")


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_pivoted_cholesky_loses_what_it_says(rank):
    A = np.random.default_rng(rank).standard_normal((6, 6))
    M = A @ A.T
    W, error = pivoted_cholesky(M, rank)
    assert W.shape == (rank, 6) and np.isclose(error, np.linalg.norm(M - W.T @ W) / np.linalg.norm(M))
    assert np.linalg.eigvalsh(M - W.T @ W).min() > -1e-9 * np.linalg.norm(M)  # a cut never adds
    assert (error < 1e-12) == (rank == 6)


def test_confidence_interval_is_the_corrected_t():
    scores = [0.8, 0.9, 0.7, 0.8, 0.95]
    low, high = confidence_interval(scores, test_size=0.5)
    half = 2.7764451 * np.std(scores, ddof=1) * np.sqrt(1 / 5 + 1)  # t of 4 degrees of freedom at 0.975
    np.testing.assert_allclose([low, high], [np.mean(scores) - half, np.mean(scores) + half], rtol=1e-6)
    small, large = (np.diff(confidence_interval(scores, size))[0] for size in (0.1, 0.5))
    assert small < large
    for wrong in ([0.5], [0.5, np.nan]):
        with pytest.raises(ValueError, match="scores"):
            confidence_interval(wrong)


@pytest.mark.parametrize(
    "wrong, match",
    [
        ({"methods": ["hamming distance"]}, "hamming distance"),
        ({"methods": "ggml"}, "methods must be a list"),
        ({"methods": ["seuclidean"]}, "seuclidean"),
        ({"methods": ["Euclidean"]}, "Euclidean"),
        ({"seconds": "5"}, "budget"),
        ({"methods": {"mine": GGML(rank=0)}}, "rank"),
        ({"level": "cell"}, "level"),
        ({"seconds": 0}, "budget"),
        ({"gib": float("nan")}, "budget"),
        ({"rank": 0}, "rank"),
        ({"clustered": np.ones(3, dtype=bool)}, "clustered"),
    ],
)
def test_bad_arguments_are_told_before_any_work(clouds, tmp_path, wrong, match):
    with pytest.raises(ValueError, match=match):
        compare_metrics(clouds, **{"n_splits": 1, "cache": tmp_path / "none", **wrong})
    assert not Path(tmp_path / "none").exists()


@pytest.mark.parametrize("wrong", [GGML(), [], [GGML()], {1: "euclidean"}, {"mine": np.mean}])
def test_methods_of_the_wrong_kind_are_named(clouds, wrong):
    with pytest.raises(TypeError, match="methods"):
        compare_metrics(clouds, wrong, n_splits=1)


def test_a_cache_is_a_folder_of_ours(clouds, tmp_path):
    compare_metrics(clouds, ["euclidean"], n_splits=1, cache=tmp_path)
    file = next(tmp_path.iterdir())
    for text in ("{}", "null", "[1]"):
        file.write_text(text)
        assert compare_metrics(clouds, ["euclidean"], n_splits=1, cache=tmp_path).status[0] == "ok"
    with pytest.raises(ValueError, match="cache"):
        compare_metrics(clouds, ["euclidean"], n_splits=1, cache=file)


def test_jobs_run_on_dask(clouds):
    distributed = pytest.importorskip("distributed")
    plain = compare_metrics(clouds, ["euclidean", "ggml-start"], n_splits=2)
    with distributed.Client(n_workers=1, threads_per_worker=2, dashboard_address=None), joblib.parallel_config("dask"):
        there = compare_metrics(clouds, ["euclidean", "ggml-start"], n_splits=2, seconds=120, n_jobs=2)
    pd.testing.assert_frame_equal(plain.drop(columns="seconds"), there.drop(columns="seconds"))


def test_every_name_has_a_metric(clouds):
    fast = [name for name in METHODS if name not in (*BASELINES, "ggml-paper", "ggml-paper-constant")]
    assert (compare_metrics(clouds, fast, n_splits=1).status == "ok").all()


def test_a_matrix_is_a_method(clouds):
    signal = np.eye(1, clouds.d)  # the axis that tells the classes
    table = compare_metrics(clouds, {"signal": signal}, ("sample", "point"), n_splits=2, k=5)
    assert table[table.level == "sample"].accuracy.mean() == 1 and table.accuracy.min() > 0.4
    with pytest.raises(ValueError, match="short"):
        compare_metrics(clouds, {"short": signal[:, 1:]}, n_splits=1)


def typed(shift=0.0, share=0.5, n=16, cells=40):
    "Clouds of two types; the disease moves type b by `shift`, and makes it `share` of the cells."
    rng, ill = np.random.default_rng(0), np.arange(n) % 2
    types = np.array([np.arange(cells) < cells * (share if c else 0.5) for c in ill])
    points = rng.normal(size=(n, cells, 3)) + 4 * types[..., None] * [1, 0, 0]
    points += shift * (ill[:, None] * types)[..., None] * [0, 1, 0]
    return Distributions.from_list(list(points), ill), np.where(types, "b", "a").ravel()


def test_summaries_run_on_the_same_splits():
    names = [name for name in SUMMARIES if name != "pilot"]
    data, types = typed(shift=3)
    score = compare_metrics(data, names, n_splits=3, cell_types=types).groupby("method").accuracy.mean()
    assert score["pseudobulk-by-type"] > 0.9 > 0.8 > score[["composition", "composition-knn"]].max()
    data, types = typed(share=0.95)
    table = compare_metrics(data, [*SUMMARIES, "pca"], ("sample", "point"), n_splits=3, cell_types=types)
    assert (table.status == "ok").all() and set(table[table.level == "point"].method) == {"pca"}
    score = table[table.level == "sample"].groupby("method").accuracy.mean()
    assert score[["composition", "composition-knn", "pilot"]].min() == 1


def test_methods_without_cell_types_are_left_out_with_a_word(clouds):
    with pytest.warns(UserWarning, match="composition, pilot left out, for want of cell_types"):
        table = compare_metrics(clouds, ["composition", "pseudobulk", "pilot"], n_splits=1)
    assert table.method.tolist() == ["pseudobulk"]
    with pytest.raises(ValueError, match="pilot need cell_types"):
        compare_metrics(clouds, ["pilot"], n_splits=1)
    with pytest.raises(ValueError, match="cell_types must name each of the .* points"):
        compare_metrics(clouds, ["pilot"], n_splits=1, cell_types=["a", "b"])


def test_pilot_moves_shares_of_types_and_absent_types_are_filled_in():
    data, types = typed(share=1.0)  # the ill have no cell of type a
    D = pilot_distances(data, types, 0)
    same = data.labels[:, None] == data.labels
    assert D[~same].min() > D[np.ix_(data.labels == 1, data.labels == 1)].max() == 0
    X = summary("pseudobulk-by-type", data, types)
    assert np.isnan(X[data.labels == 1, :3]).all() and np.isfinite(X[:, 3:]).all()
    halves = np.arange(8), np.arange(8, 16)
    assert np.isfinite(linear_answers(X, data.labels, *halves)[2]).all()


def test_answers_come_with_the_table_and_from_the_cache(clouds, tmp_path):
    how = {"n_splits": 2, "cache": tmp_path, "return_answers": True}
    table, answers = compare_metrics(clouds, ["euclidean", "pseudobulk"], **how)
    assert list(answers) == ["method", "split", "sample", "donor", "truth", "prediction", "vote"]
    right = (answers.truth == answers.prediction).groupby([answers.method, answers.split]).mean()
    np.testing.assert_allclose(right, table.set_index(["method", "split"]).accuracy[right.index])
    again = compare_metrics(clouds, ["euclidean", "pseudobulk"], **how)[1]
    pd.testing.assert_frame_equal(again, answers)


def test_known_batches_are_scored_beside_the_classes(tmp_path):
    rng, ill, batch = np.random.default_rng(0), np.arange(24) % 2, np.arange(24) // 2 % 2
    points = rng.normal(size=(24, 6, 2)) + 5 * np.stack([ill, batch], axis=1)[:, None]
    data = Distributions.from_list(list(points), ill, batches=batch)
    methods = {"disease": np.eye(2)[:1], "batch": np.eye(2)[1:]}
    table = compare_metrics(data, methods, n_splits=2, cache=tmp_path).groupby("method").mean(numeric_only=True)
    assert table.batch_removal["batch"] == 0 and table.batch_removal["disease"] > 0.5
    assert table.accuracy["disease"] == 1 > table.accuracy["batch"]
    free = Distributions.from_list(list(points), ill)
    assert "batch_removal" not in compare_metrics(free, methods, n_splits=2, cache=tmp_path)
