"""Damaged and hostile files: one sentence, no crash, no gigabytes."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from ggml_nb import Distributions, from_anndata, make_scrna, project_anndata

KEYS = {"sample_key": "sample", "label_key": "label"}
HOW = {**KEYS, "gene_filter": None, "min_cells": 0}


@pytest.fixture(scope="module")
def cells():
    adata = make_scrna(4, 25, 40, n_differential=10, seed=0)
    adata.layers["dense"] = adata.X.toarray()
    adata.obsm["X_some"] = adata.X[:, :5].toarray()
    return adata


@pytest.fixture(scope="module")
def good(cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "cells.h5ad"
    cells.write_h5ad(path)
    return path


def put(name, value):
    "Replace a part of the file."

    def change(file):
        attrs = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file[name] = value
        file[name].attrs.update(attrs)

    return change


def link(name, target):
    "Replace a part of the file by a link."

    def change(file):
        if name in file:
            del file[name]
        file[name] = target

    return change


def entry(name, where, value):
    "Replace one number."
    return lambda file: file[name].__setitem__(where, value)


def claim(name, shape, dtype, **attrs):
    "A table that says it is large, and of which nothing was written."

    def change(file):
        if name in file:
            del file[name]
        file.create_dataset(name, shape, dtype, chunks=tuple(min(n, 1000) for n in shape))
        file[name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0", **attrs})

    return change


def external(name, shape, dtype):
    "A table whose numbers are the bytes of another file."

    def change(file):
        if name in file:
            del file[name]
        file.create_dataset(name, shape, dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
        file[name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})

    return change


def virtual(file):
    layout = h5py.VirtualLayout((100, 40), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "X", (100, 40))
    del file["X"]
    file.create_virtual_dataset("X", layout)


def encoding(name, value):
    return lambda file: file[name].attrs.__setitem__("encoding-type", value)


def both(*changes):
    return lambda file: [change(file) for change in changes]


def shape(value):
    return lambda file: file["X"].attrs.__setitem__("shape", value)


TEXT = h5py.string_dtype()
HOSTILE = {
    "column out of range": (entry("X/indices", 5, 4000), "X cannot be read: X is damaged"),
    "column negative": (entry("X/indices", 5, -1), "X cannot be read: X is damaged"),
    "starts decrease": (entry("X/indptr", 5, 2**30), "X is damaged: indptr must rise"),
    "starts negative": (entry("X/indptr", 5, -3), "X is damaged: indptr must rise"),
    "starts end too soon": (entry("X/indptr", -1, 3), "X is damaged: indptr must rise"),
    "starts begin late": (entry("X/indptr", 0, 2), "X is damaged: indptr must rise"),
    "fewer starts": (put("X/indptr", np.zeros(5, int)), "X is damaged: .* row starts do not make a table"),
    "fewer columns": (put("X/indices", np.zeros(5, int)), "X is damaged"),
    "starts in fractions": (put("X/indptr", np.zeros(101)), "X/indptr must be a table of 1 axes"),
    "values of two axes": (put("X/data", np.zeros((5, 5))), "X/data must be a table of 1 axes"),
    "values are complex": (put("X/data", np.zeros(5, complex)), "X/data must be a table of 1 axes, of numbers"),
    "values are text": (put("X/data", ["a"] * 5), "X/data must be a table of 1 axes, of numbers"),
    "shape of one number": (shape([100]), "X must say its shape"),
    "shape in text": (shape("(100, 40)"), "X must say its shape"),
    "shape negative": (shape([-100, 40]), "X must say its shape"),
    "more genes than var": (shape([100, 41]), r"X has shape \(100, 41\), but obs and var have 100 and 40 rows"),
    "dense, more rows than obs": (put("X", np.zeros((300, 40))), r"X has shape \(300, 40\)"),
    "1e7 rows against 100": (claim("X", (10**7, 40), "f4"), r"X (has shape|says that it holds)"),
    "complex": (put("X", np.zeros((100, 40), complex)), "X must be a table of 2 axes, of numbers"),
    "three axes": (put("X", np.zeros((100, 40, 2))), "X must be a table of 2 axes"),
    "a number": (put("X", 3.0), "X must be a table of 2 axes"),
    "unknown encoding": (encoding("X", "packed"), "X is stored in a way that is not known, 'packed'"),
    "encoding is a number": (encoding("X", 3), "X is stored in a way that is not known"),
    "encoding is a list": (encoding("X", [1, 2]), "X is stored in a way that is not known"),
    "unknown encoding of a column": (encoding("obs/label", "packed"), r"obs\['label'\] cannot be read"),
    "1e10 values, never written": (claim("X", (10**5, 10**5), "f4"), "X says that it holds 37.3 GiB, but has 0 bytes"),
    "dense, never written": (claim("X", (100, 40), "f4"), "X lacks 1 of its 1 chunks, which would be read as zeros"),
    "values never written": (claim("X/data", (904,), "f4"), "X/data lacks 1 of its 1 chunks"),
    "5e7 names": (claim("obs/_index", (5 * 10**7,), TEXT), "obs .the names of its rows. says that it holds"),
    "5e7 genes": (claim("var/_index", (5 * 10**7,), TEXT), "var .the names of its rows. says that it holds"),
    "5e7 labels": (claim("obs/label", (5 * 10**7,), TEXT), r"obs\['label'\] says that it holds"),
    "5 labels": (both(lambda f: f.__delitem__("obs/label"), put("obs/label", [1] * 5)), r"obs\['label'\] is damaged"),
    "codes out of range": (entry("obs/label/codes", 3, 9), r"obs\['label'\] cannot be read"),
    "numbers of another file": (external("X", (100, 40), "i1"), "X keeps its values in another file"),
    "names of another file": (external("obs/_index", (100,), "S5"), "keeps its values in another file"),
    "labels of another file": (external("obs/label", (100,), "S5"), "keeps its values in another file"),
    "virtual": (virtual, "X keeps its values in another file"),
    "link to another file": (link("X", h5py.ExternalLink("/etc/passwd", "/X")), "'X' is a link to another file"),
    "link to a link": (both(link("e", h5py.ExternalLink("o.h5", "/")), link("X", h5py.SoftLink("/e/X"))), "'e' is a"),
    "link to nowhere": (link("X", h5py.SoftLink("/gone")), "it has no '.gone'"),
    "link to itself": (link("X", h5py.SoftLink("/X")), "'X' is a link that leads in a circle"),
    "column links to nowhere": (link("obs/label", h5py.SoftLink("/gone")), "it has no '.gone'"),
    "obs in obs": (both(link("obs/label", h5py.SoftLink("/obs"))), r"obs\['label'\]"),
    "no obs": (lambda file: file.__delitem__("obs"), "it has no 'obs'"),
    "obs is a list": (put("obs", [1, 2]), "is not an AnnData file"),
    "obs in one piece": (put("obs", np.zeros(100, [("index", "S9"), ("label", "i1")])), "obs is no group of columns"),
    "var in one piece": (put("var", np.zeros(40, [("index", "S9"), ("n", "f4")])), "var is no group of columns"),
    "no names": (lambda file: file.__delitem__("obs/_index"), "it has no '_index'"),
}  # fmt: skip


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB, on Linux


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_in_one_sentence(good, tmp_path, name):
    change, message = HOSTILE[name]
    path = tmp_path / "bad.h5ad"
    shutil.copy(good, path)
    with h5py.File(path, "r+") as file:
        change(file)
    before, began = peak(), time.perf_counter()
    with pytest.raises((ValueError, KeyError), match=message) as caught:
        from_anndata(path, **HOW)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert peak() - before < 0.5 and time.perf_counter() - began < 10


def test_a_link_within_the_file_is_followed(good, tmp_path):
    shutil.copy(good, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file.move("X", "values")
        file["X"] = h5py.SoftLink("/here")
        file["here"] = h5py.SoftLink("values")
    got, want = (from_anndata(path, **HOW) for path in (tmp_path / "a.h5ad", good))
    assert abs(got.points - want.points).max() == 0


def test_the_limit_of_memory_is_an_argument(good):
    for source in (good, anndata.read_h5ad(good, backed="r")):
        for layer in (None, "dense") if source is good else (None,):  # AnnData has read the layers
            with pytest.raises(ValueError, match="of memory, and max_gb is 1e-06: draw fewer cells .* or raise max_gb"):
                from_anndata(source, **HOW, layer=layer, max_gb=1e-6)
            assert from_anndata(source, **HOW, layer=layer, max_gb=1).points.shape == (100, 40)


@pytest.mark.parametrize("max_gb", [np.nan, np.inf, -1, 0, None, "16"])
def test_a_limit_that_limits_nothing_is_refused(good, max_gb):
    with pytest.raises(ValueError, match="max_gb must be a finite number of GiB above 0, got"):
        from_anndata(good, **KEYS, max_gb=max_gb)


@pytest.mark.parametrize("what", ["gene", "label", "symbol", "cell", "other"])
def test_a_name_of_ten_megabytes_takes_no_gigabytes(cells, tmp_path, what):
    "NumPy gives each name the room of the longest."
    adata, long = cells.copy(), "x" * 10**7
    adata.obs = adata.obs.astype(str)
    adata.var["feature_name"] = [long if what == "symbol" else "a", *adata.var_names[1:]]
    adata.obs["other"] = np.where(adata.obs["sample"] == adata.obs["sample"].iloc[0], long, "b").astype(object)
    if what in ("gene", "cell"):
        names = "var_names" if what == "gene" else "obs_names"
        setattr(adata, names, [long, *getattr(adata, names)[1:]])
    elif what == "label":
        adata.obs[what] = adata.obs[what].replace("healthy", long)
    adata.write_h5ad(tmp_path / "long.h5ad")
    before, where = peak(), {"other": "b"} if what == "other" else None
    if what in ("cell", "other"):
        assert from_anndata(tmp_path / "long.h5ad", **HOW, where=where).d == 40
    else:
        with pytest.raises(ValueError, match="'xxxxxxxxxxxxxxxxxxxx'... is a name of 10000000 characters, too long"):
            from_anndata(tmp_path / "long.h5ad", **HOW)
    assert peak() - before < 0.5


def test_pipes_devices_and_folders_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5ad")
    for path in (tmp_path / "pipe.h5ad", "/dev/zero"):
        with pytest.raises(ValueError, match="neither a file nor a folder"):
            from_anndata(path, **KEYS)
    with pytest.raises(ValueError, match="is not an AnnData file"):
        from_anndata(tmp_path, **KEYS)


@pytest.mark.parametrize("kind", ["pipe", "link", "linked folder"])
def test_a_zarr_folder_holds_plain_files_only(cells, tmp_path, kind):
    path = tmp_path / "cells.zarr"
    cells.write_zarr(path)
    assert len(from_anndata(path, **HOW)) == 4
    if kind == "pipe":
        os.mkfifo(path / "obs" / "pipe")
    elif kind == "link":
        (path / "obs" / "passwords").symlink_to("/etc/passwd")
    else:
        shutil.move(path / "obs", tmp_path / "obs")
        (path / "obs").symlink_to(tmp_path / "obs")
    with pytest.raises(ValueError, match="is a link or no plain file"):
        from_anndata(path, **HOW)


def test_a_zarr_folder_is_looked_at_before_it_is_read(cells, tmp_path):
    import zarr

    path = tmp_path / "cells.zarr"
    cells.write_zarr(path)
    store = zarr.open_group(str(path), mode="r+")
    indices = store["X/indices"]
    indices[3] = 4000
    with pytest.raises(ValueError, match="X cannot be read: X is damaged"):
        from_anndata(path, **HOW)
    shutil.rmtree(path / "X")
    (path / ".zmetadata").unlink(missing_ok=True)  # zarr 3 would go on believing its list of contents
    if (root := path / "zarr.json").exists():  # where format 3 keeps that list
        root.write_text(json.dumps({**json.loads(root.read_text()), "consolidated_metadata": None}))
    with pytest.raises(ValueError, match="X is empty"):
        from_anndata(path, **HOW)
    (store.create_dataset if hasattr(store, "create_dataset") else store.create_array)(
        "X", shape=(100, 40), chunks=(10**5, 10**5), dtype="f4"
    )
    with pytest.raises(ValueError, match="X says that it holds 37.3 GiB"):
        from_anndata(path, **HOW)


def test_zarr_may_leave_out_the_columns_of_a_matrix_of_one_gene(tmp_path):
    obs = pd.DataFrame({"sample": list("aabbccdd"), "label": list("xxxxyyyy")}, index=list("01234567"))
    X = sparse.csr_matrix(np.arange(1, 9, dtype=np.float32)[:, None])  # all columns are 0, as absent chunks read
    anndata.AnnData(X, obs=obs).write_zarr(tmp_path / "one.zarr")
    assert from_anndata(tmp_path / "one.zarr", "sample", "label").points.sum() == 36


@pytest.mark.parametrize("part, refused", [("X/data", True), ("X/indices", True), ("layers/dense", False)])
def test_a_chunk_that_is_absent_is_not_read_as_zeros(cells, tmp_path, part, refused):
    import zarr

    path = tmp_path / "cells.zarr"
    cells.write_zarr(path)
    store, layer = zarr.open_group(str(path), mode="r+"), "dense" if "dense" in part else None
    values = store[part][:]
    create = store.create_array if hasattr(store, "create_array") else store.create_dataset
    create(part, shape=values.shape, chunks=(50,) * values.ndim, dtype=values.dtype, overwrite=True)[:] = values
    zarr.consolidate_metadata(str(path))
    assert len(from_anndata(path, **HOW, layer=layer)) == 4
    files = sorted(file for file in (path / part).rglob("*") if file.is_file() and file.name[0] not in ".z")
    files[0].unlink()
    if refused:
        with pytest.raises(ValueError, match=f"{part} lacks 1 of its .* chunks, which would be read as zeros"):
            from_anndata(path, **HOW)
    else:  # zarr itself leaves out a dense chunk of zeros
        assert len(from_anndata(path, **HOW, layer=layer)) == 4
    for file in files[1:]:
        file.unlink()
    with pytest.raises(ValueError, match=r"lacks (\d+) of its \1 chunks"):
        from_anndata(path, **HOW, layer=layer)


def test_unsound_indices_in_memory_are_refused(cells):
    for change in ((0, 4000), (3, -1)):
        bad = cells.copy()
        bad.X.indices[change[0]] = change[1]
        for read in (
            lambda X=bad.X: Distributions(X, np.zeros(100, int), [0]),
            lambda bad=bad: from_anndata(bad, **HOW),
        ):
            with pytest.raises(ValueError, match="is damaged: its indices lie outside"):
                read()
    X = sparse.csc_matrix(cells.X).copy()
    X.indptr[3] = 10**6
    with pytest.raises(ValueError, match="is damaged"):
        Distributions(X, np.zeros(100, int), [0])


def test_a_backed_file_is_looked_at_as_well(good, tmp_path):
    shutil.copy(good, tmp_path / "bad.h5ad")
    with h5py.File(tmp_path / "bad.h5ad", "r+") as file:
        file["X/indices"][5] = -1
    with pytest.raises(ValueError, match="X cannot be read: X is damaged"):
        from_anndata(anndata.read_h5ad(tmp_path / "bad.h5ad", backed="r"), **HOW)


def test_values_by_column_are_read_once(cells, tmp_path):
    from ggml_nb import GGML
    from ggml_nb.cells.files import expression, opened, project_cells
    from ggml_nb.cells.structure import OnDisk

    table = anndata.AnnData(sparse.csc_matrix(cells.X), cells.obs, cells.var)
    table.write_h5ad(tmp_path / "csc.h5ad")
    W = np.random.default_rng(0).normal(size=(3, 40))
    with opened(tmp_path / "csc.h5ad") as file:
        matrix = expression(file)[0]
        assert isinstance(matrix, OnDisk) and matrix.format == "csc"
        for entries in (100, 250, 10**6):
            assert np.allclose(project_cells(matrix, W, entries), cells.X @ W.T, atol=1e-5)
    model = GGML(max_epochs=1, random_state=0).fit(from_anndata(tmp_path / "csc.h5ad", **HOW))
    assert np.allclose(project_anndata(model, tmp_path / "csc.h5ad"), cells.X @ model.components_.T, atol=1e-4)


def test_only_the_columns_asked_for_are_read(good, tmp_path):
    "A column that nobody asked for may be as odd as it likes."
    shutil.copy(good, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file.create_dataset("obs/huge", (10**9, 10), "f8", chunks=(100, 10))
    assert len(from_anndata(tmp_path / "a.h5ad", **HOW)) == 4


@pytest.mark.parametrize("kind", [">f8", ">f4", "f2", ">i4", "u1"])
def test_numbers_of_any_kind_are_read(cells, good, tmp_path, kind):
    shutil.copy(good, tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        values = np.round(file["X/data"][:])
        put("X/data", values.astype(kind))(file)
        put("X/indices", file["X/indices"][:].astype(">i8"))(file)
        put("layers/dense", np.round(file["layers/dense"][:]).astype(kind))(file)
    sparse_, dense = (from_anndata(tmp_path / "a.h5ad", **HOW, layer=layer).points for layer in (None, "dense"))
    assert np.array_equal(sparse_.toarray(), np.round(cells.X.toarray())) and np.array_equal(sparse_.toarray(), dense)


def test_a_random_damage_never_crashes():
    "The long version is `make fuzz`."
    fuzz = os.path.join(os.path.dirname(os.path.dirname(__file__)), "fuzz.py")
    run = subprocess.run([sys.executable, fuzz, "200", "0"], capture_output=True, text=True, timeout=1000)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]


def test_a_folder_of_zarr_3_asks_for_zarr_3(tmp_path):
    zarr = pytest.importorskip("zarr")
    (tmp_path / "zarr.json").write_text("{}")
    said = "pip install 'zarr>=3'" if zarr.__version__ < "3" else "is not an AnnData file"
    with pytest.raises(ValueError, match=said):
        from_anndata(tmp_path, **KEYS)


def test_categories_of_older_files_are_read(cells, good, tmp_path):
    "AnnData before 0.8 kept codes in the column, and a reference to the names."
    shutil.copy(good, tmp_path / "old.h5ad")
    with h5py.File(tmp_path / "old.h5ad", "r+") as file:
        for name in ("label", "sample"):
            codes, names = file["obs"][name]["codes"][:], file["obs"][name]["categories"][:]
            del file["obs"][name]
            kept = file["obs"].require_group("__categories").create_dataset(name, data=names, dtype=TEXT)
            file["obs"][name] = codes
            file["obs"][name].attrs["categories"] = kept.ref
    got, want = (from_anndata(path, **HOW) for path in (tmp_path / "old.h5ad", good))
    assert np.array_equal(got.classes, want.classes) and np.array_equal(got.sample_names, want.sample_names)
    with h5py.File(tmp_path / "old.h5ad", "r+") as file:
        file["obs/label"][:5] = -1
    with pytest.raises(ValueError, match="label.* is missing for 5 cells"):
        from_anndata(tmp_path / "old.h5ad", **HOW)


def test_digits_that_float32_loses_are_said_of_files_too(cells, tmp_path):
    far = cells.copy()
    far.X = far.X.toarray().astype(np.float64) + 1e9
    far.write_h5ad(tmp_path / "far.h5ad")
    with pytest.warns(UserWarning, match="which float32 hardly holds"):
        from_anndata(tmp_path / "far.h5ad", **HOW)


def test_only_cells_asked_for_are_looked_at(cells):
    "A sample has one label among the cells that `where` keeps."
    adata = cells.copy()
    adata.obs["time"] = np.where(np.arange(adata.n_obs) % 2, "before", "after")
    adata.obs["answer"] = np.where(adata.obs.time == "before", adata.obs.label.astype(str), "unclear")
    found = from_anndata(adata, "sample", "answer", where={"time": "before"}, gene_filter=None, min_cells=0)
    assert set(found.classes) == set(cells.obs.label)
