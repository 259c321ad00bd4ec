"""Parameters are chosen inside the training data, and what is kept aside is never learned from."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ggml_nb import GGML, Distributions, TunedGGML, compare_metrics, make_distributions


def clouds(n=12, sizes=(2, 7, 30)):
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(sizes[i % len(sizes)], 3)) + [2 * (i % 2), 0, 0] for i in range(n)]
    return Distributions.from_list(X, np.arange(n) % 2, groups=np.arange(n) // 2)


def test_the_better_parameter_is_found():
    "One start looks at noise only and one epoch with a tiny step does not mend it; the other looks at the signal."
    noise, signal = np.eye(1, 3, 2), np.eye(1, 3)
    model = GGML(rank=1, max_epochs=1, lr=1e-9, random_state=0)
    tuned = TunedGGML({"init": [noise, signal]}, model, n_splits=2, share=0.4).fit(clouds(sizes=(40,)))
    assert tuned.best_params_["init"] is signal and tuned.grid_.accuracy[1] > tuned.grid_.accuracy[0]
    W = tuned.best_estimator_.components_
    assert abs(W[0, 0]) > 100 * abs(W[0, 2])


def test_races_like_any_method(tmp_path):
    data = clouds(n=24)
    tuned = TunedGGML({"rank": [1, 2]}, GGML(max_epochs=1, random_state=0), n_splits=2)
    assert clone(tuned).get_params(deep=False)["param_grid"] == {"rank": [1, 2]}
    for budget in ({}, {"seconds": 100}):
        table = compare_metrics(data, {"tuned": tuned}, n_splits=2, cache=tmp_path, **budget)
        assert (table.status == "ok").all()
    assert len(list(tmp_path.iterdir())) == 2
    compare_metrics(data, {"tuned": clone(tuned).set_params(share=0.4)}, n_splits=2, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4  # another way to tune is another method


def test_no_fit_begins_before_all_parameters_are_checked():
    with pytest.raises(ValueError, match="rank must be an integer of at least 1, got 0"):
        TunedGGML({"rank": [10**6, 0]}).fit(clouds())
    with pytest.raises(ValueError, match="test_size must be a share between 0 and 1, got 1.0"):
        TunedGGML({"rank": [1]}, share=1.0).fit(clouds())
    with pytest.raises(ValueError, match="Invalid parameter 'margins'"):
        TunedGGML({"margins": [0.1]}).fit(clouds())
    with pytest.raises(TypeError, match="must be a Distributions"):
        TunedGGML({"rank": [1]}).fit([np.zeros((3, 2))])


def test_an_unfitted_search_says_so():
    with pytest.raises(NotFittedError):
        TunedGGML({"rank": [1]}).transform(np.zeros((3, 2)))


def test_trials_share_no_checkpoint(tmp_path):
    data = make_distributions(2, n_per_class=4, n_points=10, seed=0)
    model = GGML(max_epochs=2, random_state=0, n_jobs=1, checkpoint=tmp_path / "fit.npz")
    assert len(TunedGGML({"rank": [1, 2]}, model).fit(data).grid_) == 2
    assert not list(tmp_path.iterdir())
