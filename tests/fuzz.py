"""Files with one or more damages, drawn at random: each ends in one sentence or in sound clouds.

python tests/fuzz.py [COUNT] [SEED]    a line for each way in which a file ended; exit status 1 where one ended badly
"""

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from ggml_nb import from_anndata, make_scrna

SECONDS, GIB = 20, 1.0  # of computing, and of memory, that one file may take


def write_files(folder):
    "The same cells, stored in five ways."
    cells = make_scrna(4, 25, 40, n_differential=10, seed=0)
    cells.obs["donor"] = cells.obs["sample"].astype(str)
    kinds = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": lambda X: X.toarray()}
    for name, kind in kinds.items():
        copy = cells.copy()
        copy.X = kind(cells.X)
        copy.write_h5ad(folder / f"{name}.h5ad")
        copy.write_h5ad(folder / f"{name}_gzip.h5ad", compression="gzip")
        copy.write_zarr(folder / f"{name}.zarr")
    return sorted(folder.iterdir())


def spoil_bytes(path, rng):
    "Some bytes changed, a stretch of zeros, or the end cut off."
    data = bytearray(path.read_bytes())
    at = int(rng.integers(len(data)))
    how = rng.choice(["bytes", "zeros", "cut"], p=[0.8, 0.1, 0.1])
    if how == "bytes":
        for place in rng.integers(len(data), size=int(rng.choice([1, 4, 30]))):
            data[place] = int(rng.integers(256))
    elif how == "zeros":
        data[at : at + 500] = bytes(len(data[at : at + 500]))
    else:
        del data[at:]
    path.write_bytes(data)


def odd_value(rng):
    "Something that a reader does not expect."
    values = [-1, 0, 2**31, 2**62, -(2**40), 1e300, np.nan, "text", b"\xff", "", [1, 2, 3], np.zeros((2, 2)), 3 + 1j]
    return values[rng.integers(len(values))]


def spoil_element(path, rng):
    "One number, attribute or element of the tree replaced or removed."
    with h5py.File(path, "r+") as file:
        names = []
        file.visit(names.append)
        name = names[rng.integers(len(names))]
        element, how = file[name], rng.choice(["number", "attribute", "element", "gone", "large"])
        attributes = list(element.attrs)
        if how == "number" and isinstance(element, h5py.Dataset) and element.size and element.dtype.kind in "iuf":
            info = np.iinfo(element.dtype) if element.dtype.kind in "iu" else np.finfo(element.dtype)
            element[tuple(rng.integers(n) for n in element.shape)] = rng.choice([info.min, info.max, 0, 50])
        elif how == "attribute" and attributes:
            element.attrs[attributes[rng.integers(len(attributes))]] = odd_value(rng)
        else:
            del file[name]
            if how == "element":
                file[name] = odd_value(rng)
            elif how == "large":
                file.create_dataset(name, (10**6, 10**4)[: rng.integers(1, 3)], "f8", chunks=True)


def spoil(path, rng):
    "One damage of a copy."
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        spoil_bytes(files[rng.integers(len(files))], rng)
    elif rng.random() < 0.5:
        spoil_element(path, rng)
    else:
        spoil_bytes(path, rng)


def outcome(path):
    "How reading it ended: 'read', or the sentence. Anything else is raised."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = from_anndata(path, "sample", "label", group_key="donor", gene_filter=None, min_cells=0)
        except (ValueError, KeyError, TypeError) as error:
            assert "\n" not in str(error) and len(str(error)) < 1000, str(error)
            return type(error).__name__
    values = data.points.data if sparse.issparse(data.points) else data.points
    assert np.isfinite(values).all() and data.points.shape[0] == len(data.sample) and data.d == data.points.shape[1]
    return "read"


class TooLong(BaseException):
    "Nothing that a reader would take for a damage."


def used():
    "Seconds of computing and GiB of memory, of this process and those that it waited for."
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum((own.ru_utime, own.ru_stime, others.ru_utime, others.ru_stime)), own.ru_maxrss / 2**20


def main(count=200, seed=0):
    def too_long(*_):
        raise TooLong("no end in sight")

    signal.signal(signal.SIGALRM, too_long)
    found, bad, home = Counter(), 0, Path(tempfile.mkdtemp())
    sources = write_files(home)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        source = sources[rng.integers(len(sources))]
        copy, before = home / f"copy{source.suffix}", used()
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
        (home / "now").write_text(f"{seed} {number} {source.name}")  # what a crash leaves
        try:
            spoil(copy, rng)
            signal.alarm(20 * SECONDS)
            found[outcome(copy)] += 1
            seconds, gib = np.subtract(used(), before)
            assert gib < GIB and seconds < SECONDS, f"{gib:.1f} GiB, {seconds:.0f} s"
        except BaseException as error:
            bad += 1
            print(f"seed {seed}, number {number}, {source.name}: {type(error).__name__}: {error}", flush=True)
        finally:
            signal.alarm(0)
        (shutil.rmtree if copy.is_dir() else os.remove)(copy)
    print(dict(found), f"{bad} ended badly")
    shutil.rmtree(home)
    return bad


if __name__ == "__main__":
    began = time.perf_counter()
    status = main(*map(int, sys.argv[1:]))
    print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(bool(status))
