"""Batches: what is refused, what is warned of, and that neither start nor training sees them."""

import numpy as np
import pytest

from ggml_nb import GGML, Distributions, make_triplets
from ggml_nb.estimator.batches import batch_start, check_batches, couple_to_atoms, donors_per_batch


def cohort(counts, seed=0, shift=4.0, effect=3.0, n_points=24, d=8):
    "Two kinds of points; classes differ along axis 0 in one kind, batches along axis 1 in both; (class, batch) counts."
    rng, clouds, labels, batches = np.random.default_rng(seed), [], [], []
    for (label, batch), count in counts.items():
        for _ in range(count):
            points = rng.normal(size=(n_points, d)) + rng.normal(0, 0.3, d)
            points[: n_points // 2, 2] += 8
            points[: n_points // 2, 0] += effect * label
            points[:, 1] += shift * batch
            clouds.append(points)
            labels.append(label)
            batches.append(batch)
    return Distributions.from_list(clouds, labels, batches=batches)


CONFOUNDED = {(0, 0): 9, (0, 1): 2, (1, 0): 2, (1, 1): 9}
BALANCED = {(0, 0): 6, (0, 1): 6, (1, 0): 6, (1, 1): 6}


@pytest.mark.parametrize("counts", [{(0, 0): 4, (1, 1): 4}, {(0, 0): 3, (1, 1): 3, (2, 1): 3}])
def test_classes_that_no_batch_links_are_refused(counts):
    with pytest.raises(ValueError, match="no method can tell these classes from the batches"):
        GGML().fit(cohort(counts))


def test_few_donors_in_the_minority_are_counted():
    D = cohort(CONFOUNDED)
    assert donors_per_batch(D).tolist() == [[9, 2], [2, 9]]
    with pytest.warns(UserWarning, match="only 4 donors are in a batch where another class prevails.*0: 9 0, 2 1"):
        check_batches(D)


def test_donors_are_counted_once():
    D = cohort({(0, 0): 4, (1, 0): 2})
    D.groups = np.array(["a", "a", "b", "b", "c", "c"])
    assert donors_per_batch(D).tolist() == [[2], [1]]


def test_every_atom_gets_the_same_mass_of_every_cloud():
    D = cohort(CONFOUNDED)
    plan = couple_to_atoms(D.points, D, n_atoms=6)
    for i in range(len(D)):
        assert np.allclose(plan[D.rows(i)].sum(axis=0), 1)
        assert np.allclose(plan[D.rows(i)].sum(axis=1), 6 * D.weights[D.rows(i)])
    shifted = Distributions(D.points + 5 * D.sample[:, None], D.sample, D.labels)
    assert np.allclose(couple_to_atoms(shifted.points, shifted, n_atoms=6), plan, atol=1e-3)


@pytest.mark.filterwarnings("ignore:batches")
def test_the_batch_is_not_learned():
    D, new = cohort(CONFOUNDED), cohort({k: 3 for k in CONFOUNDED}, seed=1)
    start = batch_start(D, n_jobs=1)
    W = start.axes @ start.frame
    assert np.abs(W[0, 1]) < 0.1 * np.abs(W[0, 0])
    model = GGML(random_state=0, n_jobs=1, max_epochs=5).fit(D)
    assert model.score(new) >= 0.9 and np.abs(model.components_[0, 1]) < 0.1 * np.abs(model.components_[0, 0])
    assert np.array_equal(model.clouds_.batches, D.batches)
    D.batches = None
    assert GGML(random_state=0, n_jobs=1, max_epochs=5).fit(D).score(new) < 0.9


def test_balanced_batches_cost_nothing_and_one_batch_is_none():
    D, new = cohort(BALANCED), cohort({k: 3 for k in BALANCED}, seed=1)
    given = GGML(random_state=0, n_jobs=1, max_epochs=3).fit(D).score(new)
    D.batches = np.zeros(len(D))
    one = GGML(random_state=0, n_jobs=1, max_epochs=3).fit(D)
    D.batches = None
    none = GGML(random_state=0, n_jobs=1, max_epochs=3).fit(D)
    assert np.array_equal(one.components_, none.components_) and given >= none.score(new) - 0.01


def test_triplets_stay_within_a_batch():
    D = cohort(CONFOUNDED)
    i, j, k = make_triplets(D.labels, 3, 0, batches=D.batches).T
    assert (D.batches[i] == D.batches[j]).all() and (D.batches[j] == D.batches[k]).all() and len(i) > 100
    with pytest.raises(ValueError, match="none of them holds two samples of one class and one of another"):
        make_triplets([0, 0, 1, 1], 3, 0, batches=[0, 1, 0, 1])
