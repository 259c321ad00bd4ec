"A fit that is killed goes on from its checkpoint, and ends where it would have ended."

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from zipfile import BadZipFile

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from ggml_nb import GGML, make_distributions

SETTINGS = dict(random_state=0, n_jobs=1, init="random", max_epochs=12, patience=100, reg=0.01, reg_norm="nuc")


def make_data():
    return make_distributions(20, n_per_class=6, n_points=10, seed=1)


def fit(data=None, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GGML(**{**SETTINGS, **settings}).fit(make_data() if data is None else data)


def epochs(path):
    "Epochs in a checkpoint; 0 where there is none."
    try:
        with np.load(path, allow_pickle=False) as file:
            return len(json.loads(str(file["progress"]))["history"])
    except (FileNotFoundError, BadZipFile):
        return 0


@pytest.fixture(scope="module")
def whole():
    return fit()


def test_killed_and_resumed_equals_uninterrupted(tmp_path, whole):
    path = tmp_path / "fit.npz"
    # the child works on an epoch a little longer than needed, so that the signal surely comes in the middle of the fit
    code = f"""
import sys, time
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
import ggml_nb.estimator.stopping as stopping
from test_resume import fit

epoch = stopping.train_epoch
stopping.train_epoch = lambda *args: (time.sleep(0.3), epoch(*args))[1]
fit(checkpoint={str(path)!r})
"""
    # another number of threads must not matter
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-c", code], env=os.environ | alone)
    try:
        began = time.monotonic()
        while epochs(path) < 2:
            assert child.poll() is None, "the child ended before it was killed"
            assert time.monotonic() - began < 120, "no second epoch within two minutes"
            time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert 2 <= epochs(path) < SETTINGS["max_epochs"]

    resumed = fit(checkpoint=path)
    assert resumed.n_iter_ == whole.n_iter_ == SETTINGS["max_epochs"]
    assert np.array_equal(resumed.components_, whole.components_)
    for name in ("loss", "active", "gap", "held_out"):
        assert np.array_equal(resumed.history_[name], whole.history_[name]), name


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(20, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Linear(6, 2)
    )


@pytest.mark.parametrize(
    "settings",
    [
        dict(init="spectral", reg=0),
        dict(reg_norm="l1"),
        dict(metric="diagonal", reg_norm="l1"),
        dict(margin=1.0, lr=0.1),
        dict(metric=network(), reg_norm="l1"),
    ],
    ids=["spectral", "l1", "diagonal", "large steps", "network with buffers and dropout"],
)
def test_two_and_two_epochs_equal_four(tmp_path, settings):
    path = tmp_path / "fit.npz"
    fit(**settings, max_epochs=2, checkpoint=path)
    resumed, whole = fit(**settings, max_epochs=4, checkpoint=path), fit(**settings, max_epochs=4)
    data = make_data()
    assert np.array_equal(resumed.transform(data.points), whole.transform(data.points))
    assert np.array_equal(resumed.history_["held_out"], whole.history_["held_out"])


def test_without_a_seed_the_checkpoint_has_it(tmp_path):
    path = tmp_path / "fit.npz"
    fit(random_state=None, max_epochs=2, checkpoint=path)
    saved = path.read_bytes()
    one = fit(random_state=None, max_epochs=4, checkpoint=path)
    path.write_bytes(saved)
    two = fit(random_state=None, max_epochs=4, checkpoint=path)
    assert np.array_equal(one.components_, two.components_) and one.n_iter_ == 4


def test_a_finished_fit_is_not_trained_again(tmp_path):
    path = tmp_path / "fit.npz"
    first = fit(max_epochs=2, checkpoint=path)
    again = fit(max_epochs=2, checkpoint=path)
    assert np.array_equal(first.components_, again.components_) and np.array_equal(first.history_, again.history_)
    assert [p.name for p in tmp_path.iterdir()] == ["fit.npz"]


def test_a_longer_fit_is_not_passed_off_as_a_shorter_one(tmp_path):
    path = tmp_path / "fit.npz"
    fit(max_epochs=3, patience=9, checkpoint=path)
    with pytest.raises(ValueError, match="holds 3 epochs, more than max_epochs=2: delete it or name another file"):
        fit(max_epochs=2, patience=9, checkpoint=path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "fit.npz"
    fit(max_epochs=1, checkpoint=path)
    before = path.read_bytes()
    others = [
        dict(rank=2),
        dict(lr=0.5),
        dict(random_state=1),
        dict(data=make_distributions(20, n_per_class=6, n_points=10, seed=2)),
    ]
    for other in others:
        with pytest.raises(ValueError, match="belongs to other data or parameters: delete it or name another file"):
            fit(**other, checkpoint=path)
    assert path.read_bytes() == before


def test_weights_of_a_network_are_parameters(tmp_path):
    settings = dict(max_epochs=1, reg=0, checkpoint=tmp_path / "fit.npz")
    first, second = network(), network()
    with torch.no_grad():
        second[0].bias += 1
    fit(metric=first, **settings)
    with pytest.raises(ValueError, match="belongs to other data or parameters"):
        fit(metric=second, **settings)


def test_what_a_network_computes_is_a_parameter(tmp_path):
    "Two networks of the same name, layers and weights."

    def make(factor):
        class Net(torch.nn.Linear):
            def forward(self, x):
                return factor(super().forward(x))

        torch.manual_seed(0)
        return Net(20, 2)

    def make_other():
        class Net(torch.nn.Linear):
            def forward(self, x):
                return super().forward(x) * 2.5

        torch.manual_seed(0)
        return Net(20, 2)

    settings = dict(max_epochs=1, reg=0, checkpoint=tmp_path / "fit.npz")
    first, again = (fit(metric=make(torch.tanh), **settings).network_.weight for _ in range(2))
    assert torch.equal(first, again)
    with pytest.raises(ValueError, match="belongs to other data or parameters"):
        fit(metric=make_other(), **settings)


@pytest.mark.parametrize("setting", [5.0, torch.relu])
def test_what_a_network_was_told_is_a_parameter(tmp_path, setting):
    class Net(torch.nn.Linear):
        def __init__(self, told):
            torch.manual_seed(0)
            super().__init__(20, 2)
            self.told = told

        def forward(self, x):
            x = super().forward(x)
            return self.told(x) if callable(self.told) else self.told * x

    settings = dict(max_epochs=1, reg=0, checkpoint=tmp_path / "fit.npz")
    for told in (torch.tanh, torch.tanh):  # the same network again goes on
        fit(metric=Net(told), **settings)
    with pytest.raises(ValueError, match="belongs to other data or parameters"):
        fit(metric=Net(setting), **settings)


def test_a_metric_is_saved_to_a_file_or_not_at_all(tmp_path):
    model = fit(max_epochs=1)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "folder", tmp_path / "pipe", f"{tmp_path}/", ""):
        with pytest.raises(ValueError, match="path must name a file"):
            model.save(path)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "pipe"} and (tmp_path / "pipe").is_fifo()


def test_a_link_leads_to_the_file_that_is_written(tmp_path):
    (tmp_path / "target.npz").touch()
    (tmp_path / "link.npz").symlink_to("target.npz")
    fit(max_epochs=1).save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink() and GGML.load(tmp_path / "target.npz").n_iter_ == 1


def test_a_metric_of_huge_points_is_read_again(tmp_path):
    "The sum of their coordinates is beyond float32, their mean is not."
    rng = np.random.default_rng(0)
    clouds = [1e37 * (rng.normal(size=(12, 5)) + 1.5 * (i % 2)) for i in range(14)]
    model = GGML(random_state=0, max_epochs=1).fit(clouds, ["a", "b"] * 7)
    model.save(tmp_path / "metric.npz")
    assert np.array_equal(GGML.load(tmp_path / "metric.npz").mean_, model.mean_)


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x03\x04 half of a file"])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, content, monkeypatch):
    monkeypatch.delattr("ggml_nb.estimator.estimator.training_coordinates")  # before any work
    path = tmp_path / "notes.csv"
    path.write_bytes(content)
    for seed in (0, None):
        with pytest.raises(ValueError, match="is not a checkpoint"):
            fit(max_epochs=1, random_state=seed, checkpoint=path)
    assert path.read_bytes() == content


def test_a_missing_folder_is_named_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="folder that exists"):
        fit(checkpoint=tmp_path / "none" / "fit.npz")
