"Each cell type alone: what it tells, and which samples lack it."

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import pairwise_distances

from ggml_nb import compare_cell_types, make_scrna


class Means(BaseEstimator):
    "Distances between the means of clouds: nothing to learn, and quick."

    def fit(self, data):
        return self

    def pairwise(self, data):
        return pairwise_distances([np.asarray(data[i].mean(axis=0)).ravel() for i in range(len(data))])


def test_the_affected_type_is_found_and_samples_that_lack_a_type_are_counted(capfd):
    cells = make_scrna(n_patients=12, n_cells=90, n_genes=100, n_differential=20, effect=3, seed=0)
    rare = (cells.obs.cell_type == "type 2") & (cells.obs["sample"] != cells.obs["sample"].iloc[0])
    cells = cells[~rare].copy()
    how = {"model": Means(), "n_splits": 3, "gene_filter": None, "verbose": 1}
    table = compare_cell_types(cells, "sample", "label", "cell_type", least=5, **how).set_index("cell_type")
    assert "cell types: 100%" in capfd.readouterr().err
    assert table.index[0] == "type 0" and table.p_value["type 0"] <= 0.1 and table.accuracy["type 0"] > 0.9
    assert (table.samples + table.lacking == 12).all() and table.lacking["type 2"] >= 11
    assert np.isnan(table.accuracy["type 2"]) and table.note["type 2"]
    tested = table.dropna(subset="accuracy")
    assert (tested.low <= tested.accuracy).all() and (tested.accuracy <= tested.high).all()
    assert (tested.fdr >= tested.p_value).all() and tested.high.max() <= 1


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(KeyError, match="obs has no column 'type'"):
        compare_cell_types(make_scrna(n_patients=4, n_cells=10, n_genes=200), "sample", "label", "type")
