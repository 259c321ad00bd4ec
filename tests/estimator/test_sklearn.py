"""scikit-learn's contract: those of its own checks that say nothing of the shape of X, and the rest on clouds."""

import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

from ggml_nb import GGML, make_distributions

pytestmark = pytest.mark.filterwarnings("ignore:the held-out loss had not settled")
DATA = make_distributions(4, n_points=12, seed=0)
CLOUDS = [DATA.points[DATA.rows(i)] for i in range(len(DATA))]
ONE = {"max_epochs": 1, "random_state": 0, "n_jobs": 1}


@pytest.fixture(scope="module")
def fitted():
    return GGML(**ONE).fit(CLOUDS, DATA.labels)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_parameters_default_constructible,
        checks.check_no_attributes_set_in_init,
        checks.check_get_params_invariance,
        checks.check_set_params,
        checks.check_estimator_repr,
        checks.check_estimator_cloneable,
        checks.check_mixin_order,
        checks.check_estimators_unfitted,
    ],
)
def test_a_check_of_scikit_learn_passes(check):
    check("GGML", GGML(**ONE))


def test_fit_returns_self_keeps_parameters_and_changes_no_input():
    clouds, model = [cloud.copy() for cloud in CLOUDS], GGML(**ONE)
    before = model.get_params()
    assert model.fit(clouds, DATA.labels) is model and model.get_params() == before
    assert all(np.array_equal(a, b) for a, b in zip(clouds, CLOUDS))
    assert model.n_features_in_ == DATA.d and list(model.classes_) == sorted(set(DATA.labels))


def test_asking_changes_nothing_and_a_second_fit_is_the_first(fitted):
    before = {name: pickle.dumps(value) for name, value in vars(fitted).items()}
    answer = fitted.predict(CLOUDS)
    assert before == {name: pickle.dumps(value) for name, value in vars(fitted).items()}
    again = clone(fitted).fit(CLOUDS, DATA.labels)
    assert np.array_equal(again.components_, fitted.components_)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict(CLOUDS), answer)
    assert fitted.score(CLOUDS, DATA.labels) == np.mean(answer == DATA.labels)


@pytest.mark.parametrize("method", ["transform", "predict", "predict_proba", "kneighbors"])
def test_what_is_not_fitted_says_so(method):
    with pytest.raises(NotFittedError):
        getattr(GGML(), method)(CLOUDS)


def test_set_output_names_the_axes_and_changes_no_distance(fitted):
    model = clone(fitted).fit(CLOUDS, DATA.labels)
    frame = model.set_output(transform="pandas").transform(CLOUDS[0])
    assert list(frame.columns) == list(model.get_feature_names_out())
    assert np.array_equal(frame.to_numpy(), fitted.transform(CLOUDS[0]))
    with config_context(transform_output="pandas"):
        assert np.array_equal(model.pairwise(CLOUDS), fitted.pairwise(CLOUDS))
        assert np.array_equal(GGML(**ONE).fit(CLOUDS, DATA.labels).predict(CLOUDS), fitted.predict(CLOUDS))


def as_objects(clouds):
    array = np.empty(len(clouds), dtype=object)
    array[:] = clouds
    return array


@pytest.mark.parametrize("clouds", [CLOUDS, np.array(CLOUDS), as_objects(CLOUDS)], ids=["list", "3-D", "objects"])
def test_clouds_of_any_kind_go_through_searches_and_pipelines(clouds, fitted):
    assert np.array_equal(fitted.transform(clouds), fitted.transform(DATA))
    search = GridSearchCV(GGML(**ONE), {"rank": [1, 2]}, cv=2).fit(clouds, DATA.labels)
    assert search.best_params_["rank"] in (1, 2)
    line = make_pipeline(FunctionTransformer(), GGML(**ONE))
    assert np.array_equal(line.fit(clouds, DATA.labels).predict(clouds), fitted.predict(clouds))
    assert len(cross_val_score(GGML(**ONE), clouds, DATA.labels, cv=2)) == 2


def test_a_rank_above_the_features_is_named():
    with pytest.warns(UserWarning, match="rank=99 is more than the data have: W has 4 rows"):
        model = GGML(rank=99, **ONE).fit(DATA)
    assert model.components_.shape == (4, 4)


@pytest.mark.parametrize("solver", ["exact", "dask", "sinkhorn"])
def test_a_device_that_cannot_be_had_is_refused(solver, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda' cannot be had with solver="):
        GGML(solver=solver, device="cuda").fit(DATA)


def test_scikit_learn_sees_a_classifier_and_cuts_distributions_whole():
    "With masses and donors, and not into bare arrays of points."
    from sklearn.base import is_classifier, is_regressor
    from sklearn.model_selection import GroupKFold, cross_val_score

    from ggml_nb import Distributions

    rng, labels = np.random.default_rng(0), np.arange(12) % 2
    cells = [rng.normal(size=(5, 4)) + 1.5 * c * np.eye(4)[0] for c in labels]
    noise, mass = [50 * rng.normal(size=(5, 4)) for _ in labels], np.r_[np.full(5, 1e-6), np.ones(5)]
    data = Distributions.from_list(
        [np.vstack(parts) for parts in zip(noise, cells)], labels, weights=[mass] * 12, groups=np.arange(12) // 2
    )
    model = GGML(random_state=0, max_epochs=1)
    assert is_classifier(model) and is_regressor(GGML(target="ordered"))
    assert cross_val_score(model, data, data.classes, cv=2).min() > 0.8  # the noise has no mass
    assert len(cross_val_score(model, data, data.classes, groups=data.donors, cv=GroupKFold(3))) == 3
    with pytest.raises(ValueError, match="y must be None, or the classes of X"):
        model.fit(data, data.classes[::-1])


def test_frames_go_by_name_in_any_container():
    pd, rng, labels = pytest.importorskip("pandas"), np.random.default_rng(0), np.arange(12) % 2
    frames = [pd.DataFrame(rng.normal(size=(8, 3)) + 2 * c * np.eye(3)[0], columns=list("abc")) for c in labels]
    model, turned = GGML(random_state=0, max_epochs=1).fit(frames, labels), [f[list("cba")] for f in frames]
    want = model.predict(frames)
    for clouds in (turned, pd.Series(turned)):
        assert np.array_equal(model.predict(clouds), want)
    with pytest.raises(ValueError, match="some have named columns"):
        model.predict([frames[0], frames[1].to_numpy()])
