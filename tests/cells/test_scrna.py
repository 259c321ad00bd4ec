"""Reading an AnnData from everywhere, and writing the result into it."""

import json
import warnings
from pathlib import Path

import anndata
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from ggml_nb import (
    GGML,
    cell_relevance,
    compare_cell_types,
    compare_metrics,
    fit_anndata,
    fitted_distributions,
    from_anndata,
    make_scrna,
    pairwise_wasserstein,
    permutation_test,
    place_patients,
    rank_genes,
    summarize,
)
from ggml_nb.cells.files import read_rows
from ggml_nb.cells.scrna import draw_rows, record
from ggml_nb.method.arrays import plain_type

KEYS = {"sample_key": "sample", "label_key": "label"}


@pytest.fixture(scope="module")
def cells():
    adata = make_scrna(6, 30, 120, n_differential=20, seed=0)
    adata.layers["twice"] = adata.X * 2
    adata.layers["dense"] = adata.X.toarray()
    adata.obsm["X_some"] = adata.X[:, :5].toarray()
    adata.raw = adata[:, :80].copy()
    adata.obs["sample"] = adata.obs["sample"].cat.rename_categories(lambda name: name.replace("patient", "p"))
    return adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()


def sources(adata, folder):
    "The same table in memory, backed, lazy, as a file and as a zarr folder."
    adata.write_h5ad(folder / "cells.h5ad")
    adata.write_zarr(folder / "cells.zarr")
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X.toarray(), chunks=(50, -1)).map_blocks(sparse.csr_matrix)
    dense = adata.copy()
    dense.X = da.from_array(adata.X.toarray(), chunks=(50, 60))
    return {
        "memory": adata,
        "backed": anndata.read_h5ad(folder / "cells.h5ad", backed="r"),
        "lazy": lazy,
        "lazy, dense": dense,
        "h5ad": folder / "cells.h5ad",
        "zarr": str(folder / "cells.zarr"),
    }


def same(a, b):
    dense = [x.points.toarray() if sparse.issparse(x.points) else x.points for x in (a, b)]
    assert np.array_equal(*dense)
    for name in ("sample", "labels", "weights", "sample_names", "class_names", "feature_names"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("how", [{}, {"layer": "twice"}, {"layer": "dense"}, {"layer": "raw"}, {"use_rep": "X_some"}])
def test_every_source_gives_the_same_clouds(cells, tmp_path, how):
    want = from_anndata(cells, **KEYS, n_cells=20, seed=3, **how)
    assert want.points.shape[0] == 120
    for name, source in sources(cells, tmp_path).items():
        got = from_anndata(source, **KEYS, n_cells=20, seed=3, **how)
        same(got, want)
        assert sparse.issparse(got.points) == sparse.issparse(want.points) or name == "lazy, dense"
    other = from_anndata(cells, **KEYS, n_cells=20, seed=4, gene_filter=None)
    assert not np.array_equal(
        other.points.sum(), from_anndata(cells, **KEYS, n_cells=20, gene_filter=None).points.sum()
    )


def test_the_layer_is_the_one_asked_for(cells):
    plain, twice, raw = (from_anndata(cells, **KEYS, layer=x, gene_filter=None) for x in (None, "twice", "raw"))
    assert abs(twice.points - 2 * plain.points).max() == 0
    assert abs(raw.points - plain.points[:, :80]).max() == 0


def test_raw_is_offered_among_the_layers(cells, tmp_path):
    adata = cells.copy()
    adata.X = None
    adata.write_h5ad(tmp_path / "cells.h5ad")
    for source in (adata, tmp_path / "cells.h5ad"):
        with pytest.raises(ValueError, match=r"X is empty; name a layer \(there are .*, 'raw'\]\)"):
            from_anndata(source, **KEYS)
        with pytest.raises(KeyError, match="layer='nope' is not there; there are .*'raw'"):
            from_anndata(source, **KEYS, layer="nope")
        assert from_anndata(source, **KEYS, layer="raw", gene_filter=None).d == 80


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_blocks_of_rows_are_the_rows(cells, tmp_path, kind):
    adata = anndata.AnnData(kind(cells.X.toarray()))
    adata.write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    rows = np.array([0, 3, 4, 77, 150, 179])
    for entries in (1, 500, 10**6):
        got = read_rows(backed.X, rows, entries=entries)
        assert np.array_equal(got.toarray() if sparse.issparse(got) else got, cells.X[rows].toarray())


def test_only_the_drawn_rows_are_read(cells, tmp_path, monkeypatch):
    "A file of 180 cells, of which 6 are drawn, is never read in one piece."
    cells.write_h5ad(tmp_path / "cells.h5ad")
    largest = []

    def spy(matrix, rows, verbose=0):
        part = read_rows(matrix, rows, verbose, entries=10 * 120)
        largest.append(part.shape[0])
        return part

    monkeypatch.setattr("ggml_nb.cells.scrna.read_rows", spy)
    D = from_anndata(tmp_path / "cells.h5ad", **KEYS, n_cells=1, gene_filter=None)
    assert largest == [6] and D.points.shape[0] == 6


def test_small_samples_are_kept_and_named(cells):
    few = cells[np.r_[np.flatnonzero(cells.obs["sample"] != "p 03"), np.flatnonzero(cells.obs["sample"] == "p 03")[:4]]]
    with pytest.warns(UserWarning, match=r"fewer than min_cells=20 cells in p 03 \(4\)"):
        D = from_anndata(few.copy(), **KEYS)
    assert np.diff(D.offsets).min() == 4 and len(D) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_anndata(few.copy(), **KEYS, min_cells=4)


def spoil(cells, change):
    adata = cells.copy()
    change(adata)
    return adata


def set_label(value):
    def change(adata):
        adata.obs["label"] = adata.obs["label"].astype(object)
        adata.obs.iloc[0, list(adata.obs).index("label")] = value

    return change


BROKEN = {
    r"several values of obs\['label'\] \(.*third\)": set_label("third"),
    "missing for 1 cells": set_label(np.nan),
    r"missing for 1 cells.*fill": set_label(" "),
    "var names must be unique": lambda a: setattr(a, "var_names", ["x"] * a.n_vars),
    "obs names must be unique": lambda a: setattr(a, "obs_names", ["x"] * a.n_obs),
    r"NaN.*\(1, the first in column \d+\)": lambda a: a.X.data.__setitem__(0, np.nan),
}


@pytest.mark.parametrize("message", BROKEN)
@pytest.mark.filterwarnings("ignore:.*names are not unique")
def test_broken_tables_get_one_clear_error(cells, tmp_path, message):
    bad = spoil(cells, BROKEN[message])
    with pytest.raises(ValueError, match=message):
        from_anndata(bad, **KEYS)
    bad.obs = bad.obs.astype({"label": str}) if message != "missing for 1 cells" else bad.obs
    bad.write_h5ad(tmp_path / "bad.h5ad")
    with pytest.raises(ValueError, match=message):
        from_anndata(tmp_path / "bad.h5ad", **KEYS)


def test_arguments_are_checked(cells, tmp_path):
    for error, match, wrong in (
        (KeyError, "label_key='nope' is not a column", {"label_key": "nope"}),
        (KeyError, "layer='nope' is not there", {"layer": "nope"}),
        (KeyError, "use_rep='nope' is not there", {"use_rep": "nope"}),
        (ValueError, "gene_filter must be", {"gene_filter": "best"}),
        (KeyError, "BRCA1 not among", {"gene_filter": ["BRCA1", "gene 0001"]}),
        (ValueError, "gene_filter must be", {"gene_filter": 5}),
        (ValueError, "gene_filter must be", {"gene_filter": np.ones(cells.n_vars, dtype=bool)}),
        (ValueError, "gene_filter names no gene", {"gene_filter": []}),
        (ValueError, "gene_filter names 'gene 0001' twice", {"gene_filter": ["gene 0001", "gene 0002", "gene 0001"]}),
        (ValueError, "gene_filter chooses genes, but use_rep", {"gene_filter": ["gene 0001"], "use_rep": "X_some"}),
        (ValueError, "n_cells must be", {"n_cells": 0}),
        (ValueError, "n_cells must be", {"n_cells": 2.5}),
        (ValueError, "n_cells must be", {"n_cells": "10"}),
        (ValueError, "seed == -1", {"seed": -1}),
        (KeyError, "sample_key=None is not a column", {"sample_key": None}),
    ):
        with pytest.raises(error, match=match):
            from_anndata(cells, **{**KEYS, **wrong})
    with pytest.raises(TypeError, match="adata_or_path must be an AnnData or the path of one, got DataFrame"):
        from_anndata(cells.obs, **KEYS)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        from_anndata(tmp_path / "no.h5ad", **KEYS)
    (tmp_path / "text.h5ad").write_text("hello")
    with pytest.raises(ValueError, match="not an AnnData file"):
        from_anndata(tmp_path / "text.h5ad", **KEYS)


def test_a_column_that_occurs_twice_is_named_where_it_is_needed(cells):
    adata = cells.copy()
    adata.obs["site"] = adata.obs["label"].astype(str)
    adata.obs = pd.concat([adata.obs, adata.obs[["site"]]], axis=1)
    assert len(from_anndata(adata, **KEYS)) == 6  # nobody asked for it
    for call in (
        lambda: from_anndata(adata, "sample", "site"),
        lambda: from_anndata(adata, **KEYS, where={"site": "healthy"}),
        lambda: compare_cell_types(adata, **KEYS, cell_type_key="site"),
    ):
        with pytest.raises(ValueError, match="obs has the column 'site' twice: keep one"):
            call()


def test_unused_categories_are_ignored_with_a_word(cells):
    adata = cells.copy()
    adata.obs["sample"] = adata.obs["sample"].cat.add_categories("ghost")
    with pytest.warns(UserWarning, match="no cell belongs to ghost"):
        same(from_anndata(adata, **KEYS), from_anndata(cells, **KEYS))


def test_raw_counts_are_noticed(cells):
    adata = cells.copy()
    adata.X = np.round(np.expm1(adata.X.toarray()))
    with pytest.warns(UserWarning, match="raw counts"):
        from_anndata(adata, **KEYS)


def test_a_panel_of_markers_that_is_cut_down_is_named(cells, recwarn):
    panel = cells[:, :60].copy()
    kept = from_anndata(panel, **KEYS, gene_filter="variance")
    assert f"gene_filter='variance' keeps {kept.d} of 60 features" in str(recwarn.pop(UserWarning).message)
    assert from_anndata(panel, **KEYS, gene_filter=None).d == 60
    assert not [w for w in recwarn.list if w.category is UserWarning]  # pandas may warn anndata of what it will drop


@pytest.mark.parametrize(("name", "said"), [("NA", "classes 'NA' of"), ("Healthy ", "are they one class?")])
def test_odd_names_of_classes_are_named_and_kept(cells, name, said, recwarn):
    adata = cells.copy()
    adata.obs["label"] = adata.obs["label"].astype(str)
    adata.obs.loc[adata.obs["sample"] == adata.obs["sample"].iloc[0], "label"] = name
    assert name in from_anndata(adata, **KEYS).class_names
    assert said in str(recwarn.pop(UserWarning).message)
    from_anndata(adata, "sample", "sample")  # as `ggml-nb distances`: no label, no warning
    assert not recwarn.list


def test_gene_filters(cells):
    everything = from_anndata(cells, **KEYS, gene_filter=None)
    variance = from_anndata(cells, **KEYS, gene_filter="variance")
    spread = everything.points.toarray().astype(float).var(axis=0)
    assert np.array_equal(variance.feature_names, cells.var_names[spread > spread.mean()])
    rare = cells.copy()
    rare.X[:, 3] = sparse.csr_matrix(([0.5], ([4], [0])), (180, 1))
    detected = from_anndata(rare, **KEYS)
    assert np.array_equal(detected.feature_names, np.delete(cells.var_names, 3))  # one cell of 180 is too few
    named = from_anndata(cells, **KEYS, gene_filter=["gene 0007", "gene 0003"])
    assert list(named.feature_names) == ["gene 0007", "gene 0003"]
    assert abs(named.points - everything.points[:, [7, 3]]).max() == 0


def test_scanpys_gene_filter(cells):
    sc = pytest.importorskip("scanpy")
    D = from_anndata(cells, **KEYS, gene_filter="hvg")
    want = sc.pp.highly_variable_genes(cells, inplace=False).highly_variable
    assert np.array_equal(D.feature_names, cells.var_names[want]) and 0 < D.d < cells.n_vars


def equal(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            equal(a[key], b[key])
    else:
        assert np.array_equal(a, b)


def test_the_result_survives_h5ad_and_zarr(cells, tmp_path):
    adata = cells.copy()
    adata.obs["donor"] = adata.obs["sample"].astype(str)
    model = fit_anndata(adata, **KEYS, n_cells=25, group_key="donor", rank=3)
    k = len(model.components_)  # three learned axes, and below them those of the plain metric
    assert model.n_axes_ == adata.uns["ggml"]["n_axes"] == 3
    assert adata.obsm["X_ggml"].shape == (180, k) and adata.varm["W_ggml"].shape == (120, k)
    assert np.allclose(adata.X @ adata.varm["W_ggml"], adata.obsm["X_ggml"], atol=1e-4)
    record = adata.uns["ggml"]
    assert {"params", "data", "history", "distances", "samples", "labels", "means", "versions"} <= set(record)
    assert np.allclose(record["distances"], model.pairwise(fitted_distributions(adata)))
    assert json.loads(record["params"])["rank"] == 3 and len(record["samples"]) == 6
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for again in (anndata.read_h5ad(tmp_path / "a.h5ad"), anndata.read_zarr(tmp_path / "a.zarr")):
        assert np.array_equal(again.obsm["X_ggml"], adata.obsm["X_ggml"])
        assert np.array_equal(again.varm["W_ggml"], adata.varm["W_ggml"])
        equal(record, again.uns["ggml"])
        pd.testing.assert_frame_equal(rank_genes(again), rank_genes(adata))
        same(fitted_distributions(again), fitted_distributions(adata))


def test_every_source_can_be_fitted(cells, tmp_path):
    want = cells.copy()
    fit_anndata(want, **KEYS)
    for name, source in sources(cells, tmp_path).items():
        if name in ("h5ad", "zarr"):
            with pytest.raises(TypeError, match="must be an AnnData"):
                fit_anndata(source, **KEYS)
        elif name != "memory":
            fit_anndata(source, **KEYS)
            assert np.allclose(source.obsm["X_ggml"], want.obsm["X_ggml"], atol=1e-5)
            assert np.allclose(source.uns["ggml"]["distances"], want.uns["ggml"]["distances"], atol=1e-6)


def test_raw_is_fitted_and_the_weights_follow_the_names_of_var(cells):
    adata = cells.copy()
    fit_anndata(adata, **KEYS, layer="raw")
    assert adata.varm["W_ggml"].shape[0] == 120 and not adata.varm["W_ggml"][80:].any()
    assert np.allclose(adata.X @ adata.varm["W_ggml"], adata.obsm["X_ggml"], atol=1e-4)


def test_scanpy_works_on_the_result(cells):
    sc = pytest.importorskip("scanpy")
    adata = cells.copy()
    fit_anndata(adata, **KEYS)
    ax = sc.pl.embedding(adata, "X_ggml", color="label", show=False)
    assert ax.collections
    sc.pp.neighbors(adata, use_rep="X_ggml", n_neighbors=10)
    assert adata.obsp["connectivities"].shape == (180, 180)
    sc.tl.umap(adata, maxiter=5)
    # above 8192 cells scanpy asks pynndescent, whose releases from 0.6 on it cannot read
    many = anndata.AnnData(np.zeros((8200, 1), np.float32))
    many.obsm["X_ggml"] = np.random.default_rng(0).normal(size=(8200, 5)).astype(np.float32)
    sc.pp.neighbors(many, use_rep="X_ggml")
    assert many.obsp["connectivities"].shape == (8200, 8200)


def test_real_files_are_read_alike(data_dir, tmp_path):
    path = data_dir / "gbm_panobinostat.h5ad"
    adata = anndata.read_h5ad(path)
    adata.write_zarr(tmp_path / "x.zarr")
    how = {**KEYS, "group_key": "donor", "n_cells": 100, "seed": 1}
    want = from_anndata(adata, **how)
    for source in (path, anndata.read_h5ad(path, backed="r"), tmp_path / "x.zarr"):
        same(from_anndata(source, **how), want)
    W = [GGML(random_state=0).fit(from_anndata(x, **how)).components_ for x in (path, tmp_path / "x.zarr")]
    assert np.array_equal(*W)


def test_cells_that_changed_after_the_fit_are_noticed(cells):
    adata = cells.copy()
    fit_anndata(adata, **KEYS, max_epochs=1)
    assert len(fitted_distributions(adata)) == 6
    adata.X = adata.X * 2
    with pytest.raises(ValueError, match="not those of the fit"):
        fitted_distributions(adata)
    with pytest.raises(ValueError, match="not those of the fit"):
        fitted_distributions(adata[adata.obs["sample"] != adata.obs["sample"].iloc[0]])


def test_an_anndata_is_not_a_distributions(cells):
    for judge in (cell_relevance, summarize, permutation_test, compare_metrics):
        with pytest.raises(TypeError, match="must be a Distributions, got AnnData: from_anndata makes one"):
            judge(cells)


def test_numpy_numbers_are_kept_with_the_fit(cells):
    adata, same_ = cells.copy(), cells.copy()
    fit_anndata(adata, **KEYS, n_cells=np.int64(20), seed=np.int64(3), rank=np.int64(1), margin=np.float32(0.5))
    fit_anndata(same_, **KEYS, n_cells=20, seed=3, rank=1, margin=0.5)
    assert np.array_equal(adata.uns["ggml"]["components"], same_.uns["ggml"]["components"])
    for source in (adata, same_):
        params = json.loads(source.uns["ggml"]["params"])
        assert params["rank"] == 1 and params["margin"] == 0.5 and params["random_state"] == 3
    ranks = [rank_genes(source, n_refits=2).stability for source in (adata, same_)]
    assert np.array_equal(*ranks)


@pytest.mark.parametrize("how", ["memory", "backed", "backed by column", "lazy"])
def test_nan_in_a_cell_that_is_not_drawn_is_said_before_the_fit(cells, tmp_path, monkeypatch, how):
    adata = cells.copy()
    adata.X = adata.X.toarray()
    drawn = set(draw_rows(adata.obs["sample"].astype(str).to_numpy(), 5, 0, 0))
    adata.X[next(i for i in range(adata.n_obs) if i not in drawn), 0] = np.nan
    if how == "lazy":
        adata.X = da.from_array(adata.X, chunks=(50, -1))
    elif how != "memory":
        adata.X = sparse.csc_matrix(adata.X) if "column" in how else adata.X
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    assert np.isfinite(from_anndata(adata, **KEYS, n_cells=5, min_cells=0).points.sum())
    monkeypatch.setattr(GGML, "fit", None)  # not reached
    with pytest.raises(ValueError, match="in cells that were not drawn"):
        fit_anndata(adata, **KEYS, n_cells=5, min_cells=0)
    assert "ggml" not in adata.uns


def test_scanpys_gene_filter_on_what_it_cannot_use(cells):
    pytest.importorskip("scanpy")
    adata = cells.copy()
    adata.X = np.zeros(adata.shape, dtype=np.float32) + 1
    with pytest.raises(ValueError, match="gene_filter='hvg'"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from_anndata(adata, **KEYS, gene_filter="hvg")


def typed(cells, values, key="label"):
    "The cells with other values for their samples, in order of first appearance."
    adata = cells.copy()
    code, found = pd.factorize(adata.obs["sample"], sort=True)
    adata.obs[key] = pd.Series(values).iloc[code % len(values)].set_axis(adata.obs_names)
    return adata


@pytest.mark.parametrize("values", [[0, 1], [True, False], [1.0, 2.0], [10, 9], ["b", "a"]])
def test_labels_keep_their_type(cells, values, tmp_path):
    adata = typed(cells, values)
    D = from_anndata(adata, **KEYS, n_cells=5)
    assert D.class_names.dtype == np.array(values).dtype and D.class_names.tolist() == sorted(values)
    assert D.classes.tolist() == [values[i % 2] for i in range(6)]
    fit_anndata(adata, **KEYS, n_cells=5, max_epochs=1)
    adata.write_h5ad(tmp_path / "x.h5ad")
    again = anndata.read_h5ad(tmp_path / "x.h5ad")
    for source in (adata, again):
        assert np.array_equal(fitted_distributions(source).classes, D.classes)
        assert plain_type(source.uns["ggml"]["labels"]).dtype == D.classes.dtype
    placed = place_patients(again, adata[adata.obs["sample"].isin(["p 00", "p 01"])].copy())
    assert placed.table.predicted.isin(values).all()


def test_categories_and_numbers_keep_their_order(cells):
    adata = typed(cells, pd.Categorical(["healthy", "diseased"], ["healthy", "diseased"]))
    adata.obs["label"] = adata.obs["label"].astype(pd.CategoricalDtype(["healthy", "diseased", "unused"]))
    assert from_anndata(adata, **KEYS).class_names.tolist() == ["healthy", "diseased"]
    numbers = typed(cells, [0, 10, 1, 2, 11, 9], "sample")
    numbers.obs["label"] = numbers.obs["sample"] % 2
    numbers.obs["donor"] = numbers.obs["sample"] // 2
    D = from_anndata(numbers, **KEYS, group_key="donor", batch_key="label")
    assert D.sample_names.tolist() == [0, 1, 2, 9, 10, 11] and D.groups.tolist() == [0, 0, 1, 4, 5, 5]
    assert D.batches.tolist() == [0, 1, 0, 1, 0, 1]


def test_clouds_without_labels(cells):
    D = from_anndata(cells, "sample", None)
    assert len(D) == 6 and pairwise_wasserstein(D).shape == (6, 6)


@pytest.mark.parametrize("how", ["min_cells", "counts", "odd", "unused"])
def test_a_warning_points_at_the_callers_line_and_comes_once(cells, how, recwarn):
    adata = cells.copy()
    if how == "counts":
        adata.X = np.round(np.expm1(adata.X.toarray()))
    elif how == "odd":
        adata.obs["label"] = adata.obs["label"].cat.rename_categories(["NA", "ill"])
    elif how == "unused":
        adata.obs["sample"] = adata.obs["sample"].cat.add_categories("ghost")
    few = {"min_cells": 31 if how == "min_cells" else 0}
    for call in (lambda: from_anndata(adata, **KEYS, **few), lambda: fit_anndata(adata, **KEYS, max_epochs=1, **few)):
        recwarn.clear()
        call()
        assert [Path(w.filename).name for w in recwarn] == ["test_scrna.py"]
    recwarn.clear()
    rank_genes(adata, n_refits=1)
    assert not [w for w in recwarn if "min_cells" in str(w.message)]


def test_raw_with_other_names_than_var_is_said(cells):
    adata = cells.copy()
    adata.var_names = [f"ENSG{i}" for i in range(120)]
    with pytest.warns(UserWarning, match=r"no gene of var has a name of layer='raw'.* varm\['W_ggml'\] is left out"):
        fit_anndata(adata, **KEYS, layer="raw", max_epochs=1)
    assert "W_ggml" not in adata.varm and adata.uns["ggml"]["components"].any()


def test_symbols_stay_beside_the_names(cells, tmp_path):
    adata = cells.copy()
    adata.var["feature_name"] = pd.Categorical([f"S{i // 2}" if i < 4 else f"S{i}" for i in range(120)])
    adata.var["other"] = [f"o{i}" for i in range(120)]
    adata.write_h5ad(tmp_path / "x.h5ad")
    for source in (adata, tmp_path / "x.h5ad"):
        D = from_anndata(source, **KEYS, gene_filter=["S7", "gene 0001", "gene 0003"])
        assert D.feature_names.tolist() == ["gene 0007", "gene 0001", "gene 0003"]
        assert D.symbols.tolist() == ["S7", "S0", "S1"] and D.subset([1, 0]).symbols.tolist() == D.symbols.tolist()
        assert from_anndata(source, **KEYS, gene_names="other").symbols[5] == "o5"
        with pytest.raises(ValueError, match="'S0' is the symbol of several genes"):
            from_anndata(source, **KEYS, gene_filter=["S0"])
        with pytest.raises(KeyError, match="gene_names='nope' is not a column of var"):
            from_anndata(source, **KEYS, gene_names="nope")
    fit_anndata(adata, **KEYS, max_epochs=1)
    assert record(adata)["symbols"][7] == "S7" and len(record(adata)["symbols"]) == 120
    assert rank_genes(adata).set_index("gene").symbol["gene 0007"] == "S7"


def test_two_fits_side_by_side(cells):
    adata = cells.copy()
    fit_anndata(adata, **KEYS, max_epochs=1)
    before = adata.uns["ggml"]["components"].copy()
    fit_anndata(adata, **KEYS, max_epochs=1, key_added="other", rank=2, use_rep="X_some")
    assert adata.uns["other"]["n_axes"] == 2 and "W_other" not in adata.varm
    assert np.array_equal(adata.uns["ggml"]["components"], before) and fitted_distributions(adata, "other").d == 5
    assert len(rank_genes(adata, key="other")) == 5 and len(rank_genes(adata)) == 120
    assert len(place_patients(adata, cells.copy(), key="other").table) == 6
    with pytest.raises(ValueError, match="key_added must be a name"):
        fit_anndata(adata, **KEYS, key_added="a/b")
    with pytest.raises(KeyError, match=r"uns\['third'\] is not there"):
        fitted_distributions(adata, "third")


def test_the_cells_may_be_changed_after_reading(cells):
    for X in (cells.X.copy(), cells.X.toarray()):
        adata = cells.copy()
        adata.X = X
        D = from_anndata(adata, **KEYS, n_cells=None, gene_filter=None)
        before = D.points.sum()
        (adata.X.data if sparse.issparse(adata.X) else adata.X)[:] = 7
        assert D.points.sum() == before


def test_names_without_zeros_survive_being_written(cells, tmp_path):
    "AnnData writes text in natural order, P2 before P10, and the samples of a fit are those of the file."
    adata = cells.copy()
    names = {name: f"P{i + 1}" for i, name in enumerate(adata.obs["sample"].unique())}
    adata.obs["sample"] = adata.obs["sample"].astype(str).map(names)
    fit_anndata(adata, **KEYS)
    before = fitted_distributions(adata).sample_names.tolist()
    adata.write_h5ad(tmp_path / "fitted.h5ad")
    for again in (adata, anndata.read_h5ad(tmp_path / "fitted.h5ad")):
        assert fitted_distributions(again).sample_names.tolist() == before == sorted(before, key=lambda x: int(x[1:]))


def test_a_class_of_one_sample_is_named(cells):
    adata = cells.copy()
    adata.obs["label"] = np.where(adata.obs["sample"] == adata.obs["sample"].iloc[0], "ill", "well")
    with pytest.warns(UserWarning, match="'ill' has one sample, of which nothing can be held out"):
        fit_anndata(adata, **KEYS, max_epochs=1)
