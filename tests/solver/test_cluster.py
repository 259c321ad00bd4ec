"""The same transport on a cluster of two processes, one of which is killed."""

import os
import signal
import sys
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from ggml_nb import GGML, Distributions, PairwiseTransport, make_distributions
from ggml_nb.solver.cluster import DaskTransport, cut_pairs, dask_client

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'ggml_nb[dask]'")


@pytest.fixture(scope="module")
def client():
    # Dask looks again at a dead worker after this time and, finding it dead, gives it up for good. By default
    # that is 15 s: a worker that had come back, and was killed again at that moment, never came back
    import dask

    options = dict(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1")
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}):
        with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
            yield client


def wait_for_both(client):
    client.wait_for_workers(2, timeout=120)


def data(seed=0, n=9, d=6):
    rng = np.random.default_rng(seed)
    clouds = [rng.normal(size=(rng.integers(1, 60), d)) + rng.normal(size=d) for _ in range(n)]
    weights = rng.random(sum(map(len, clouds))) + 0.01
    order = rng.permutation(len(weights))  # the points of a distribution need not stand together
    stacked = Distributions.from_list(clouds, np.arange(n) % 3, weights=weights)
    mixed = Distributions(stacked.points[order], stacked.sample[order], stacked.labels, weights[order])
    return mixed, rng.normal(size=(2, d)), rng


def kill_one(client):
    pids = client.run(os.getpid)
    assert len(set(pids.values()) - {os.getpid()}) == 2  # real processes
    os.kill(min(pids.values()), signal.SIGKILL)


def same(there, here, W, weights):
    assert np.allclose(there.solve(W), here.solve(W), rtol=1e-9, atol=0)
    assert (there.gaps <= 1e-9).all()
    grad = here.grad(weights)
    assert np.abs(there.grad(weights) - grad).max() <= 1e-9 * np.abs(grad).max()


def test_equal_to_local(client):
    D, W, rng = data()
    there, here = DaskTransport(D, tol=1e-9), PairwiseTransport(D, tol=1e-9)
    weights = rng.normal(size=len(here.pairs))
    for _ in range(3):
        same(there, here, W, weights)
        W = W + 0.02 * rng.normal(size=W.shape)
    assert len(set(there.home.values())) == 2  # both workers had something to do

    which = np.array([7, 2, 30])
    Z = rng.normal(size=(len(D.points), 4))
    assert np.allclose(there.solve_embedded(Z, which), here.solve_embedded(Z, which), rtol=1e-9)
    assert np.allclose(there.grad_embedded(np.ones(3)), here.grad_embedded(np.ones(3)), atol=1e-9)
    assert abs(there.coupling(np.ones(3)) - here.coupling(np.ones(3))).max() <= 1e-12
    for i in range(3):
        assert abs(there.plan(i) - here.plan(i)).max() <= 1e-12
        assert there.certificate(i).gap <= 1e-9 and np.allclose(there.potentials(i)[0], here.potentials(i)[0])
    assert len(there.solve(W, [])) == 0 and not there.grad([]).any()


def test_a_killed_worker_changes_nothing(client):
    D, W, rng = data(1)
    there, here = DaskTransport(D, tol=1e-9), PairwiseTransport(D, tol=1e-9)
    weights = rng.normal(size=len(here.pairs))
    same(there, here, W, weights)
    kill_one(client)
    W = W + 0.02
    same(there, here, W, weights)  # killed between two steps
    there.solve(W), here.solve(W)
    wait_for_both(client)
    kill_one(client)
    grad = here.grad(weights)  # killed between a step and its gradient
    assert np.abs(there.grad(weights) - grad).max() <= 1e-9 * np.abs(grad).max()


def test_a_worker_killed_in_the_middle_of_a_fit_changes_nothing(client, monkeypatch):
    import ggml_nb.estimator.stopping as stopping

    wait_for_both(client)
    data, epoch, calls = make_distributions(20, n_per_class=6, n_points=20, seed=1), stopping.train_epoch, []

    def fit(solver):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            settings = dict(init="random", max_epochs=4, patience=100, tol=1e-9, random_state=0)
            return GGML(solver=solver, **settings).fit(data)

    def killing_epoch(*args):
        calls.append(len(calls))
        if len(calls) == 2:
            kill_one(client)
        return epoch(*args)

    here = fit("exact")
    monkeypatch.setattr(stopping, "train_epoch", killing_epoch)
    there = fit("dask")
    assert len(calls) == 4 and there.n_iter_ == here.n_iter_
    scale = np.abs(here.components_).max()
    assert np.abs(there.components_ - here.components_).max() <= 1e-6 * scale
    wait_for_both(client)


def test_workers_forget_what_is_not_used(client):
    def kept(dask_worker):
        return len(vars(dask_worker).get("ggml_shards", {}))

    D, W, _ = data(2)
    there = DaskTransport(D)
    there.solve(W)
    before = sum(client.run(kept).values())
    del there
    for _ in range(50):
        left = sum(client.run(kept).values())
        if left <= before - 2:
            break
        client.submit(lambda: None, pure=False).result()
    assert left <= before - 2


def test_errors_come_from_here(client):
    D, W, _ = data()
    there = DaskTransport(D)
    with pytest.raises(RuntimeError, match="call solve first"):
        there.grad(np.ones(36))
    with pytest.raises(ValueError, match="W has 2 columns"):
        there.solve(np.ones((1, 2)))
    there.solve(W)
    with pytest.raises(ValueError, match="one per pair of the last solve"):
        there.grad(np.ones(3))


def test_a_client_that_is_closed_is_said():
    D, W, _ = data()
    with distributed.Client(n_workers=1, processes=False, dashboard_address=":0") as client:
        there = DaskTransport(D)
        there.solve(W)
        submit = there._submit

        def closing(*args):
            future = submit(*args)
            client.close()
            return future

        there._submit = closing
        for _ in range(2):  # in the middle of a solve, and before one
            with pytest.raises(RuntimeError, match="was closed or lost while it solved: connect a new"):
                there.solve(W)


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"ggml_nb\[dask\]"):
        dask_client()


@pytest.mark.parametrize("shards", [1, 2, 5, 40])
def test_shards_are_even(shards):
    rng = np.random.default_rng(shards)
    sizes, pairs = rng.integers(1, 50, 30), np.stack(np.triu_indices(30, 1), axis=1)
    shard = cut_pairs(pairs, sizes, shards)
    work = np.bincount(shard, sizes[pairs].prod(axis=1), shards)
    assert shard.min() >= 0 and len(work) == shards and work.max() <= work.mean() + 2 * sizes.max() ** 2
