"A fit belongs to the model, and questions come in any form that holds clouds."

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from ggml_nb import GGML, feature_patterns, make_distributions

NAMES = np.repeat(list("ABC"), 4)


@pytest.fixture
def data():
    return make_distributions(5, n_per_class=4, n_points=8, noise_scale=3, seed=0)


@pytest.fixture
def model(data):
    return GGML(rank=1, max_epochs=1, random_state=0).fit(data)


def test_nobody_changes_a_fit_through_its_data(data, model):
    clouds, before = [data[i] for i in range(12)], model.distances_to_fit(data)
    data.source["layer"] = "X"
    for array in (data.labels, data.weights, data.sample_names, data.class_names, data.feature_names, data.sample):
        array[:] = array[::-1].copy()
    assert model.score(clouds, NAMES) == 1 and model.source_ == {}
    assert model.classes_.tolist() == list("ABC") and model.feature_names_in_[0] == "signal"
    assert np.array_equal(model.distances_to_fit(clouds), before)


def test_clouds_come_one_by_one(data, model):
    clouds = [data[i] for i in range(12)]
    for ask in (model.predict, model.predict_proba, model.pairwise, lambda X: model.kneighbors(X)[0]):
        assert np.array_equal(ask(iter(clouds)), ask(clouds)) and np.array_equal(ask(np.stack(clouds)), ask(clouds))
    assert model.score(iter(clouds), NAMES) == 1


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda m, D: m.predict(sparse.csr_array(D[0])),
            "X must be a Distributions or a list .* csr_array",
        ),
        (lambda m, D: m.predict(np.array(1.0)), "X must be a Distributions or a list of clouds, got ndarray"),
        (lambda m, D: m.predict(pd.DataFrame(D[0])), "X must be a Distributions or a list of clouds, got DataFrame"),
        (lambda m, D: m.score([D[0], D[1]], ["A"]), r"y must have one label for each of 2 clouds, got shape \(1,\)"),
        (lambda m, D: m.score(D, [b"A"] * 12), "y must be text, got bytes"),
        (lambda m, D: m.save(None), "path must name a file, got None"),
        (lambda m, D: GGML.load(None), "path must name a file, got None"),
        (lambda m, D: GGML.load(5), "path must name a file, got 5"),
        (lambda m, D: feature_patterns(D, np.eye(5), seed=-1), "seed must be a whole number of at least 0"),
        (lambda m, D: feature_patterns(D, np.eye(4)), "W has 4 columns, but the points have 5 features"),
    ],
)
def test_a_question_that_is_none_is_named(model, data, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(model, data)
