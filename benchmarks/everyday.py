"""How long an everyday `ggml-nb fit` takes with a warm cache, and where the time goes; `ggml-nb demo` beside it.

python everyday.py DATA_FOLDER --write

Each command runs twice, the first time to fill numba's cache; the second counts. CPU seconds are those of all threads:
on a busy machine they say more than the clock.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Table

START = [sys.executable, "-m", "ggml_nb"]
KEYS = ["--sample-key", "sample", "--label-key", "label", "--group-key", "donor"]


def run(command):
    "Wall and CPU seconds of a process."
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with gbm_panobinostat.h5ad and brain_glia_celltype.h5ad")
    parser.add_argument("--write", action="store_true", help="keep the table as results/everyday.txt")
    args = parser.parse_args()
    table = Table(
        "ggml-nb fit and demo, warm cache: five held-out splits, a metric from all samples, page and pictures"
    )
    table.add(f"{'command':40s}{'seconds':>9s}{'CPU s':>9s}")
    sets = [args.data / f"{name}.h5ad" for name in ("gbm_panobinostat", "brain_glia_celltype")]
    with tempfile.TemporaryDirectory() as folder:
        for path in [*sets, None]:
            out = Path(folder) / (path.stem if path else "demo")
            what = ["fit", path, *KEYS] if path else ["demo"]
            command = [*map(str, [*START, *what, "--overwrite", "-q", "-o", out])]
            run(command)
            table.add(f"{' '.join([what[0], path.stem if path else '']):40s}{{:9.1f}}{{:9.1f}}".format(*run(command)))
            report = json.loads((out / "report.json").read_text())
            for step, seconds in report["seconds"].items():
                table.add(f"  {step:38s}{seconds:9.1f}")
    if args.write:
        table.write("everyday")
