"""The alarm speaks of columns that nearly tell the label, and only of those."""

import warnings

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from ggml_nb import from_anndata
from ggml_nb.cells.confounders import find_confounders, warn_of_confounders


def cells(columns, per=3):
    "A row a cell, `per` of each sample."
    n = len(next(iter(columns.values())))
    obs = pd.DataFrame({"sample": [f"s{i:02d}" for i in range(n)], **columns})
    return obs.loc[np.repeat(np.arange(n), per)].reset_index(drop=True)


LABEL = np.repeat(["healthy", "ill"], [17, 21])
ASSAY = np.repeat(["v2", "v3", "v2", "v3"], [15, 2, 3, 18])


def test_the_chemistry_is_named_with_its_numbers():
    obs = cells({"label": LABEL, "assay": ASSAY, "sex": np.tile(["f", "m"], 19)})
    found = find_confounders(obs, "sample", "label")
    assert found.column.tolist() == ["assay"] and found.p_value[0] < 0.05
    assert found.share[0] == pytest.approx(33 / 38) and found.chance[0] == pytest.approx(21 / 38)
    with pytest.warns(UserWarning, match="assay alone tells the label of 87% of the samples, 55% by chance.*batch_key"):
        warn_of_confounders(obs, "sample", "label")


@pytest.mark.parametrize("kind", [bool, int, float, "Int64", "boolean", "category"])
@pytest.mark.parametrize("place", ["memory", "h5ad", "zarr"])
def test_a_site_may_be_a_number(kind, place, tmp_path):
    obs = cells({"label": LABEL, "site": pd.Series(ASSAY == "v3").astype(kind), "age": np.arange(38) / 7})
    adata = AnnData(np.eye(len(obs), 3, dtype=np.float32), obs.set_axis(obs.index.astype(str)))
    path = tmp_path / f"cells.{place}"
    if place != "memory":
        getattr(adata, f"write_{place}")(path)
    with pytest.warns(UserWarning, match="site alone tells the label of 87%"):
        from_anndata(adata if place == "memory" else path, "sample", "label", gene_filter=None)


def test_a_column_that_is_the_label_cannot_be_given():
    obs = cells({"label": LABEL, "site": np.where(LABEL == "ill", "A", "B")})
    with pytest.warns(UserWarning, match="site alone tells the label of 100%.*no method can tell the two apart"):
        warn_of_confounders(obs, "sample", "label")


@pytest.mark.parametrize(
    "column",
    [
        {"donor": np.arange(38).astype(str)},
        {"age": np.linspace(20, 80, 38)},
        {"label_ontology_term_id": np.where(LABEL == "ill", "MONDO:1", "PATO:1")},
        {"assay": np.tile(["v2", "v3"], 19)},
        {"constant": np.repeat("x", 38)},
    ],
)
def test_it_is_silent_where_nothing_is_to_say(column):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_confounders(cells({"label": LABEL, **column}), "sample", "label")


def test_what_varies_within_samples_and_what_is_known_is_left_out():
    obs = cells({"label": LABEL, "assay": ASSAY, "assay_term": ASSAY})
    obs["kind"] = np.where(obs.label == "ill", "a", "b")
    obs.loc[0, "kind"] = "a"
    assert find_confounders(obs, "sample", "label").column.tolist() == ["assay"]  # its twin is not told again
    assert find_confounders(obs, "sample", "label", batch_key="assay").empty
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_confounders(obs, "sample", "sample")  # new patients without a label


def test_donors_count_once():
    donor = np.repeat(["a", "b", "c", "d"], [9, 8, 11, 10])
    obs = cells({"label": LABEL, "donor": donor, "site": np.repeat(["A", "B"], [17, 21])})
    assert find_confounders(obs, "sample", "label", "donor").empty  # two and two donors prove nothing
    assert "site" in find_confounders(obs.drop(columns="donor"), "sample", "label").column.tolist()


def test_few_false_alarms_over_random_columns():
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        columns = {f"c{i}": rng.integers(2 + i % 5, size=24) for i in range(10)}
        obs = cells({"label": rng.permutation(np.repeat(["a", "b"], 12)), **columns}, per=1)
        alarms += not find_confounders(obs, "sample", "label").empty
    assert alarms <= 4


def test_a_donor_of_several_samples_is_named_unless_it_is_given():
    obs = pd.DataFrame({"sample": np.repeat([f"s{i}" for i in range(12)], 3)})
    obs["label"] = np.repeat(np.arange(12) // 6, 3)
    obs["donor_id"], obs["site"] = np.repeat(np.arange(12) // 2, 3).astype(str), "one"
    with pytest.warns(UserWarning, match="donor_id gives several samples one value: .* group_key='donor_id'"):
        warn_of_confounders(obs, "sample", "label")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_confounders(obs, "sample", "label", "donor_id")
        warn_of_confounders(obs.assign(donor_id=obs["sample"]), "sample", "label")
