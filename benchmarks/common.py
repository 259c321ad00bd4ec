"""What both benchmarks share: which machine this is, and tables that are printed and kept."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ["ggml_nb", "numpy", "scipy", "numba", "pot", "torch"]


def machine():
    "CPU, cores, memory, versions and how busy it is; no names."
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = next(
        (line.split(":")[1].strip() for line in text.splitlines() if "model name" in line), platform.processor()
    )
    simd = "AVX-512" if "avx512f" in text else "AVX2" if "avx2" in text else "no AVX"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"# {model}, {simd}, {os.cpu_count()} cores, {memory:.0f} GiB; no graphics card",
        f"# {platform.system()}, Python {platform.python_version()}, "
        + ", ".join(f"{p} {version(p)}" for p in PACKAGES),
        f"# load average at the start: {os.getloadavg()[0]:.1f}",
    ]


class Table:
    "Lines that are printed at once and written to results/NAME.txt at the end."

    def __init__(self, *about):
        self.lines = []
        for line in (*about, *machine()):
            self.add(line if line.startswith("#") else f"# {line}")

    def add(self, line):
        self.lines.append(line.rstrip())
        print(self.lines[-1], flush=True)

    def write(self, name):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.txt").write_text("\n".join(self.lines) + "\n")
