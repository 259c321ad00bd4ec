"""Simulated cohorts: batches, donors and severities are what was asked for."""

import numpy as np
import pandas as pd
import pytest

from ggml_nb import make_scrna

SMALL = dict(n_cells=12, n_genes=40, n_types=3, n_differential=6)


def samples(adata):
    return adata.obs.groupby("sample", observed=True).first()


def test_the_table_of_samples_is_the_one_asked_for():
    adata = make_scrna(24, **SMALL, batches=["v2", "v3"], confounding=[[15, 2], [3, 18]], seed=1)
    s = samples(adata)
    assert pd.crosstab(s.label, s.batch).loc[["healthy", "diseased"]].to_numpy().tolist() == [[15, 2], [3, 18]]
    assert s.donor.nunique() == 24 and (s.groupby("donor", observed=True)[["label", "batch"]].nunique() == 1).all(None)
    assert s.groupby(["label", "batch"], observed=True).donor.nunique().min() == 2


@pytest.mark.parametrize(
    "confounding, table", [(0, [[5, 5], [5, 5]]), (0.6, [[8, 2], [2, 8]]), (1, [[10, 0], [0, 10]])]
)
def test_confounding_moves_each_class_into_a_batch_of_its_own(confounding, table):
    s = samples(make_scrna(20, **SMALL, batches=2, confounding=confounding))
    found = pd.crosstab(s.label, s.batch).reindex(["healthy", "diseased"])
    assert found.to_numpy().tolist() == table


def test_new_patients_live_in_the_same_world():
    asked = dict(**SMALL, batches=2, batch_effect=1.0, seed=3)
    old, new = make_scrna(8, **asked), make_scrna(6, patient_seed=1, **asked)
    assert old.var.equals(new.var) and not set(old.obs["sample"]) & set(new.obs["sample"])
    shift = [a[a.obs.batch == "batch 1"].X.mean(0) - a[a.obs.batch == "batch 0"].X.mean(0) for a in (old, new)]
    assert np.corrcoef(np.ravel(shift[0]), np.ravel(shift[1]))[0, 1] > 0.8


def test_severity_scales_the_effect():
    many = dict(n_cells=150, n_genes=60, n_types=1, n_differential=5, effect=3.0, patient_noise=0.01)
    adata = make_scrna(16, **many, severity=3)
    s = samples(adata)
    assert s.severity.value_counts().to_dict() == {0: 4, 1: 4, 2: 4, 3: 4}
    assert ((s.severity > 0) == (s.label == "diseased")).all()
    means = pd.DataFrame(adata.X.toarray()).groupby(adata.obs.severity.to_numpy()).mean()
    moved = means.loc[:, adata.var.differential.to_numpy()].sub(means.loc[0, adata.var.differential.to_numpy()]).abs()
    assert (np.diff(moved.mean(axis=1)) > 0).all()


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(confounding=2), "confounding must lie between 0 and 1"),
        (dict(confounding=[[1, 2]]), "confounding must be a number or 2 x 2"),
        (dict(n_samples=5), "n_patients=8 must be between 4 and the 5 samples"),
    ],
)
def test_designs_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make_scrna(8, **SMALL, **{"batches": 2, **change})


@pytest.mark.parametrize("how", [{"n_genes": 100}, {"n_cells": 0}, {"n_types": 1.5}, {"n_differential": -1}])
def test_sizes_that_cannot_be_are_named(how):
    with pytest.raises((ValueError, TypeError), match="n_differential" if "n_genes" in how else next(iter(how))):
        make_scrna(**how)
