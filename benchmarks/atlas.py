"""How much memory and time `ggml-nb fit` needs on an atlas: 700,000 cells x 30,000 genes of 130 patients.

The simulated file is written once, patient by patient, into FOLDER (about 7 GB at full size); then the command runs on
it as a child, with all genes that are seen (the default) and with the paper's filter. Printed: seconds and peak memory
of the child, seconds of its steps, and how long reading alone takes. A thousand patients of 300 cells x 2,000 genes,
interrupted after ten minutes and started again:

    python atlas.py FOLDER --cells 300000 --genes 2000 --patients 1000 --filters detected --splits 2 --stop 600"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata.io import sparse_dataset, write_elem
from common import Table
from numba import njit
from scipy import sparse

TYPES, DIFFERENTIAL = 10, 200


@njit(cache=True)
def draw_cells(cumulative, kind, depth, seed):
    "Log-normalised multinomial counts of cells, given cumulative gene frequencies of each type: the arrays of a CSR."
    np.random.seed(seed)
    d = cumulative.shape[1]
    indptr = np.zeros(len(kind) + 1, np.int64)
    indices, data = np.empty(depth.sum(), np.int32), np.empty(depth.sum(), np.float32)
    count, end = np.zeros(d, np.int32), 0
    for c in range(len(kind)):
        for _ in range(depth[c]):
            count[np.searchsorted(cumulative[kind[c]], np.random.random())] += 1
        for g in range(d):
            if count[g]:
                indices[end], data[end] = g, np.log1p(1e4 * count[g] / depth[c])
                count[g], end = 0, end + 1
        indptr[c + 1] = end
    return data[:end], indices[:end], indptr


def patients(n_cells, n_genes, n_patients, seed=0):
    "CSR blocks and obs, one patient after the other; in the ill, some genes of the first cell type change."
    rng = np.random.default_rng(seed)
    base = rng.normal(0, 1.7, n_genes)
    types = base + rng.normal(0, 1.5, (TYPES, n_genes)) * (rng.random((TYPES, n_genes)) < 0.1)
    change = np.zeros(n_genes)
    loud = np.argsort(-base)[: n_genes // 3]
    change[rng.choice(loud, DIFFERENTIAL, replace=False)] = 1.5 * rng.choice([-1, 1], DIFFERENTIAL)
    for p, size in enumerate(np.diff(np.linspace(0, n_cells, n_patients + 1).astype(int))):
        label = ("control", "ill")[p % 2]
        own = np.exp(types + rng.normal(0, 0.15, n_genes))
        own[0] *= np.exp(change * (label == "ill"))
        cumulative = np.cumsum(own, axis=1) / own.sum(axis=1, keepdims=True)
        cumulative[:, -1] = 1
        kind = rng.choice(TYPES, size, p=rng.dirichlet(np.full(TYPES, 20.0)))
        depth = rng.lognormal(np.log(1700), 0.35, size).astype(np.int64)
        block = sparse.csr_matrix(draw_cells(cumulative, kind, depth, p), shape=(size, n_genes))
        obs = {"sample": f"patient {p:03d}", "label": label, "cell_type": [f"type {t}" for t in kind]}
        yield block, pd.DataFrame(obs)


def write_atlas(path, n_cells, n_genes, n_patients):
    "The simulated file; no more than one patient is in memory."
    part, tables = path.with_suffix(".part"), []
    with h5py.File(part, "w") as file:
        for block, obs in patients(n_cells, n_genes, n_patients):
            if tables:
                sparse_dataset(file["X"]).append(block)
            else:
                write_elem(file, "X", block)
            tables.append(obs)
        obs = pd.concat(tables, ignore_index=True).astype("category")
        obs.index = "cell " + obs.index.astype(str)
        whole = anndata.AnnData(obs=obs, var=pd.DataFrame(index=[f"gene {i:05d}" for i in range(n_genes)]))
        for name in ("obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns"):
            slot = getattr(whole, name)
            write_elem(file, name, slot if isinstance(slot, pd.DataFrame) else dict(slot))
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    os.replace(part, path)


def run_child(command, stop=None):
    "Seconds, CPU seconds, peak resident memory (GiB) and exit status of a child, interrupted after `stop` seconds."
    began = time.perf_counter()
    child = subprocess.Popen(command)
    timer = Timer(stop or 0, child.send_signal, [signal.SIGTERM])
    if stop:
        timer.start()
    _, status, usage = os.wait4(child.pid, 0)
    timer.cancel()
    busy = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - began, busy, usage.ru_maxrss / 2**20, os.waitstatus_to_exitcode(status)


READ = """import sys, ggml_nb
print(ggml_nb.from_anndata(sys.argv[1], "sample", "label", verbose=1))"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the file is written once, and read from afterwards")
    parser.add_argument("--cells", type=int, default=700_000)
    parser.add_argument("--genes", type=int, default=30_000)
    parser.add_argument("--patients", type=int, default=130)
    parser.add_argument("--filters", nargs="+", default=["detected", "variance"], help="gene filters, a run each")
    parser.add_argument("--splits", default="5", help="judged splits of a run")
    parser.add_argument("--stop", type=float, help="interrupt each run after so many seconds, then start it again")
    parser.add_argument("--only-write", action="store_true", help="write the file, run nothing")
    parser.add_argument("--write", metavar="NAME", help="keep the table as results/NAME.txt")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / f"atlas_{args.cells}_{args.genes}_{args.patients}.h5ad"
    if not path.exists():
        need = args.cells * 1300 * 8
        if shutil.disk_usage(args.folder).free < 1.1 * need:
            sys.exit(f"{args.folder} needs {need / 2**30:.0f} GiB of free disk")
        began = time.perf_counter()
        write_atlas(path, args.cells, args.genes, args.patients)
        print(f"written in {time.perf_counter() - began:.0f} s", flush=True)
    if args.only_write:
        sys.exit()
    with h5py.File(path) as file:
        nnz = file["X/indices"].shape[0]
    table = Table(
        f"{args.cells} cells x {args.genes} genes, {args.patients} patients, {nnz / args.cells:.0f} non-zeros a cell "
        f"({nnz / args.cells / args.genes:.1%}), CSR .h5ad of {path.stat().st_size / 2**30:.1f} GiB"
    )
    table.add(f"{'command':44s}{'seconds':>9s}{'CPU s':>9s}{'peak GiB':>10s}{'status':>8s}")
    out = args.folder / "result"
    start = [sys.executable, "-c", "import sys; from ggml_nb.shell.cli import main; sys.exit(main())", "fit"]
    fit = [*start, path, "--sample-key", "sample", "--label-key", "label", "--splits", args.splits, "--overwrite"]
    commands = {"from_anndata": [sys.executable, "-c", READ, path]}
    commands |= {
        f"ggml-nb fit --gene-filter {genes}": [*fit, "-o", out, "--gene-filter", genes] for genes in args.filters
    }
    for name, command in commands.items():
        command = [*map(str, command)]
        if args.stop and name != "from_anndata":
            seconds, busy, peak, status = run_child(command, args.stop)
            table.add(f"{name + ', interrupted':44s}{seconds:9.0f}{busy:9.0f}{peak:10.2f}{status:8d}")
        seconds, busy, peak, status = run_child(command)
        table.add(f"{name:44s}{seconds:9.0f}{busy:9.0f}{peak:10.2f}{status:8d}")
        if status:
            sys.exit(f"{name} failed with status {status}")
        if name == "from_anndata":
            continue
        report = json.loads((out / "report.json").read_text())
        for step, seconds in report["seconds"].items():
            table.add(f"  {step:42s}{seconds:9.0f}")
        accuracy = ", ".join(f"{method} {value['mean']:.2f}" for method, value in report["accuracy"].items())
        table.add(
            f"  {report['cells']} cells, {report['features']} genes; held-out distances of "
            f"{report['held_out_cells']} cells a sample; accuracy {accuracy}"
        )
    if args.write:
        table.write(args.write)
