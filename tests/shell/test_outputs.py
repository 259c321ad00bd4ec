"""What lies on disk: nothing of the user's overwritten, all of a result or none, whatever ends the run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ggml_nb import make_scrna
from ggml_nb.shell.cli import main
from ggml_nb.shell.outcome import METHODS
from ggml_nb.shell.outputs import check_output, claim, hidden, output_folder, safe_cells, unfinished, write_csv

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")
FIT = "--sample-key sample --label-key label --no-judge --max-epochs 2 --figures svg -q".split()


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    make_scrna(12, 20, 120, n_differential=20, seed=1).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def result(cells, tmp_path_factory):
    "A fit, with its page and metric."
    folder = tmp_path_factory.mktemp("fit") / "result"
    assert main(["fit", str(cells), *FIT, "-o", str(folder)]) == 0
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "args, message",
    [
        (["distances", "cells.h5ad", *FIT[:2], "-o", "cells.h5ad"], "would overwrite the input cells.h5ad"),
        (["genes", "--metric", "metric.npz", "-o", "metric.npz"], "would overwrite the input metric.npz"),
        (["genes", "--metric", "metric.npz", "--gene-sets", "sets.gmt", "-o", "sets.gmt"], "would overwrite the input"),
        (["genes", "--metric", "metric.npz", "-o", "link.csv"], "would overwrite the input sets.gmt"),
        (["genes", "--metric", "metric.npz", "-o", "sets.gmt"], "sets.gmt exists: give another output, or --overwrite"),
        (["fit", "cells.h5ad", *FIT, "-o", "result"], "report.html exists: give another output, or --overwrite"),
        (["demo", "-o", "result"], "report.html exists: give another output, or --overwrite"),
        (["evaluate", "cells.h5ad", *FIT[:4], "-o", "result"], "report.json exists: give another output"),
        (["fit", "cells.h5ad", *FIT, "--overwrite", "-o", "odd"], "a file of that name is to be written: rename it"),
    ],
)  # fmt: skip
def test_nothing_of_the_users_is_overwritten(args, message, cells, result, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for source in (cells, result / "metric.npz"):
        Path(source.name).write_bytes(source.read_bytes())
    Path("sets.gmt").write_text("set\t-\tgene 1\n")
    Path("link.csv").symlink_to("sets.gmt")
    if "link.csv" in args:
        args = [*args[:3], "--gene-sets", "sets.gmt", *args[3:]]
    Path("result").mkdir()
    Path("result/report.json").write_text("{}")
    Path("result/report.html").write_text("a page")
    Path("odd/metric.npz").mkdir(parents=True)
    before = contents(tmp_path)
    assert main(args) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1
    assert contents(tmp_path) == before


def test_overwrite_replaces_and_leaves_what_is_not_ours(cells, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "distances_held_out.csv").write_text("of an older run, which judged")
    (out / "genes.csv").write_text("old")
    assert main(["fit", str(cells), *FIT, "-o", str(out)]) == 2
    assert main(["fit", str(cells), *FIT, "--overwrite", "-o", str(out)]) == 0
    assert (out / "notes.txt").read_text() == "mine" and "weight" in (out / "genes.csv").read_text()
    assert not (out / "distances_held_out.csv").exists()  # it would belong to another metric
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and not list(out.glob(".*"))


def test_a_file_that_cannot_be_moved_brings_the_others_back(tmp_path, monkeypatch):
    out, names = tmp_path / "out", ["a", "b", "c"]
    out.mkdir()
    for name in names[:2]:
        (out / name).write_text("old")
    replace = os.replace

    def fails(source, target):
        if Path(source).name == "c" and Path(target).parent == out:
            raise OSError("Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="Input/output"), output_folder(out, names, overwrite=True) as folder:
        for name in names:
            (folder / name).write_text("new")
    assert contents(out) == {"a": b"old", "b": b"old"}


def test_a_planted_link_is_not_followed(tmp_path):
    treasure = tmp_path / "treasure"
    treasure.write_text("mine")
    for name in (".table.csv.part", ".table.csv.", "out.unfinished"):
        (tmp_path / name).symlink_to(treasure if "csv" in name else tmp_path / "elsewhere")
    write_csv(pd.DataFrame({"x": [1]}), tmp_path / "table.csv")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ValueError, match="out.unfinished is a link"), unfinished(tmp_path / "out"):
        pass
    assert treasure.read_text() == "mine" and not list((tmp_path / "elsewhere").iterdir())


def test_a_spreadsheet_runs_nothing():
    names = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "x=1"]
    table = safe_cells(pd.DataFrame({"name": names, "=A1": range(7), "weight": np.arange(-3.0, 4)}, index=names))
    assert list(table["name"]) == [f"'{name}" for name in names[:6]] + ["x=1"] == list(table.index)
    assert list(table.columns) == ["name", "'=A1", "weight"] and table.weight.iloc[0] == -3
    kinds = pd.DataFrame({"name": pd.Categorical(names[:2]), "text": pd.array(names[:2], dtype="string")})
    assert (safe_cells(kinds).astype(str).map(lambda x: x[0]) == "'").all(axis=None)


def test_a_line_end_in_a_name_ends_no_row(tmp_path):
    table = pd.DataFrame({"sample": ["P1\r", "a\r=HYPERLINK(1)", "b\n"], "n": [1, 2, 3]})
    write_csv(table, tmp_path / "table.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), table)


def test_names_are_data(tmp_path, capsys):
    "Formulas, markup, directions and lengths in labels, samples and genes: drawn, written and escaped."
    adata = make_scrna(12, 20, 60, n_differential=20, seed=1)
    odd = [
        "$\\frac{",
        "_hidden",
        "=cmd|' /C calc'!A0",
        "<script>alert(1)</script>",
        "a\nb",
        "\u202etxt.exe",
        "../../etc",
        "x" * 5000,
    ]
    samples = {name: odd[i] if i < len(odd) else f"${i}" for i, name in enumerate(np.unique(adata.obs["sample"]))}
    adata.obs["sample"] = adata.obs["sample"].astype(str).map(samples)
    adata.obs["label"] = adata.obs["label"].astype(str).map({"healthy": "$x_{", "diseased": "_" + "y" * 300})
    adata.var_names = [odd[i] if i < 8 else f"_$gene{i}$" for i in range(60)]
    adata.write_h5ad(tmp_path / "odd.h5ad")
    fit = ["--gene-filter", "none", *FIT, "--figures", "png", "--cell-type-key", "cell_type", "--splits", "2"]
    fit.remove("--no-judge")
    assert main(["fit", str(tmp_path / "odd.h5ad"), *fit, "-o", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and len(page) < 5e6
    judged = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["accuracy"]
    assert set(judged) == set(METHODS)  # with types all of the field's baselines
    for file in ("patients.csv", "genes.csv", "distances.csv"):
        table = pd.read_csv(tmp_path / "out" / file, keep_default_na=False, lineterminator=None)
        assert not table[table.columns[0]].astype(str).str.match(r"[=+\-@\t\r]").any()
    assert not list(tmp_path.parent.glob("etc"))


def test_leavings_of_a_killed_run_are_swept_by_the_next(tmp_path):
    out = tmp_path / "out"
    part = tmp_path / f"{hidden(out)}{'0' * 32}"
    (part / "old").mkdir(parents=True)
    (part / "old" / "metric.npz").write_text("moved away by a run that was killed")
    (tmp_path / f"{hidden(out)}{'1' * 32}").write_text("half of a table")
    (tmp_path / ".out.lock").touch()
    out.mkdir()
    for name in (".out.rc", f".other.{'0' * 32}"):
        (tmp_path / name).touch()
    with claim(out):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [f".other.{'0' * 32}", ".out.rc", "out"]
    assert (out / "metric.npz").exists()


@posix
def test_a_full_disk_leaves_the_old_result(cells, result, tmp_path):
    import resource

    out = tmp_path / "out"
    out.mkdir()
    for file in result.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    before = contents(out)
    command = [sys.executable, "-m", "ggml_nb", "fit", str(cells), *FIT, "--overwrite", "-o", str(out)]
    small = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))}
    done = subprocess.run(command, capture_output=True, text=True, **small)
    lines = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert done.returncode == 2 and len(lines) == 1 and "File too large" in lines[0], done.stderr
    assert contents(out) == before
    assert {p.name for p in tmp_path.iterdir()} <= {"out", "out.unfinished"}  # what was done is not lost


def test_a_folder_that_vanishes_is_one_error(cells, tmp_path, monkeypatch, capsys):
    from ggml_nb.shell import report

    def vanish(*args):

        shutil.rmtree(tmp_path / "new")
        return learn(*args)

    learn = report.learn
    monkeypatch.setattr(report, "learn", vanish)
    assert main(["fit", str(cells), *FIT, "-o", str(tmp_path / "new" / "out")]) == 2
    error = capsys.readouterr().err
    assert "No such file or directory" in error or "there is no folder" in error
    assert not list(tmp_path.iterdir())


SERVER = """
import json, os, random, signal, sys, time
import matplotlib.figure, matplotlib.backends.backend_svg, ggml_nb.cells.scrna, ggml_nb.shell.report
from ggml_nb.shell.cli import main

folder, args, signals = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
os.chdir(folder)


def child(number=None, after=0.0):
    began, pid = time.monotonic(), os.fork()
    if pid == 0:
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        os._exit(main(args))
    if number:
        time.sleep(after)
        os.kill(pid, number)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status, time.monotonic() - began


child()
took = most = child()[1]
draw, hits = random.Random(0), 0
for i in range(60):
    if i >= 20 and hits >= 10:
        break
    number = signals[i % len(signals)]
    after = draw.uniform(0.05, 1.0) * took
    status, _ = child(number, after)
    hits += status != 0
    if not status:  # it had ended before the signal: other work has made way since the first runs
        took = max(0.7 * took, most / 4)
    there = {x: os.path.join("out", x) for x in os.listdir("out")}
    files = {x: open(path, "rb").read().hex() for x, path in there.items() if os.path.isfile(path)}
    names = [*os.listdir("."), *(x for x in there if x.startswith("."))]
    print(json.dumps([number, after, status, open("log").read(), names, files]), flush=True)
print(json.dumps(child()[0]))
"""


def killed(folder, cells, *signals):
    "A fit that replaces a result, killed at 20 random times or more: what each left; the last one runs to its end."
    args = ["fit", str(cells), *FIT, "--overwrite", "-o", "out"]
    command = [sys.executable, "-c", SERVER, str(folder), json.dumps(args), json.dumps([int(x) for x in signals])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@posix
def test_a_signal_at_any_time_leaves_the_old_result_or_the_new(cells, tmp_path):
    *kills, last = killed(tmp_path, cells, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    whole = {name.removesuffix(".old") for name in kills[0][5]}
    for number, after, status, log, names, files in kills:
        assert status in (0, 128 + number), (after, status, log)
        lines = [line for line in log.splitlines() if "warning" not in line]
        if status:
            assert "interrupted" in lines[-1] and len(lines) == 1 and "Traceback" not in log, log
        assert set(files) == whole and all(files.values())
        assert set(names) <= {"log", "out", "out.unfinished"}, names
    assert sum(kill[2] != 0 for kill in kills) >= 10 and last == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "out"]


@posix
def test_nothing_stays_behind_after_sigkill_and_another_run(cells, tmp_path):
    *kills, last = killed(tmp_path, cells, signal.SIGKILL)
    assert last == 0 and sum(kill[2] == -signal.SIGKILL for kill in kills) >= 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "out"] and not list((tmp_path / "out").glob(".*"))


@posix
def test_an_interrupt_while_modules_load_is_one_line(cells, tmp_path):
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); print(flush=True)"
    code += "; import sys; from ggml_nb.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "fit", str(cells), *FIT, "-o", str(tmp_path / "out")]
    draw = random.Random(1)
    for _ in range(5):
        job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        job.stdout.readline()
        time.sleep(draw.uniform(0.05, 1.0))
        job.send_signal(signal.SIGINT)
        _, error = job.communicate(timeout=60)
        assert job.returncode == 130 and len(error.strip().splitlines()) == 1 and "interrupted" in error, error
        assert not list(tmp_path.iterdir())


@posix
def test_a_signal_waits_until_a_module_is_loaded(tmp_path):
    "Compiled modules swallow an exception that comes while they are loaded."
    swallow = "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGTERM)\n    [None for _ in range(10**6)]\n"
    (tmp_path / "swallows.py").write_text(swallow + "except BaseException:\n    pass\nloaded = True\n")
    code = "import time\nfrom ggml_nb.shell.cli import Stopped, stoppable\ntry:\n    with stoppable():\n"
    code += "        import swallows\n        time.sleep(10)\n"
    code += "except Stopped as end:\n    print(swallows.loaded, end.number)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == "True 15\n"


@posix
@pytest.mark.parametrize("what, folder", [("claim", "new"), ("unfinished", "out.unf"), ("output_folder", ".out.")])
def test_a_signal_between_two_steps_leaves_nothing(what, folder, tmp_path):
    "It comes when a folder has been made, before what follows knows of it."
    code = f"""import os, pathlib, signal, time
from ggml_nb.shell.cli import Stopped, stoppable
from ggml_nb.shell.outputs import claim, output_folder, unfinished
usual = pathlib.Path.mkdir

def mkdir(path, *args, **how):
    usual(path, *args, **how)
    if {folder!r} in path.name:
        os.kill(os.getpid(), signal.SIGTERM)
        [None for _ in range(10**6)]

pathlib.Path.mkdir = mkdir
try:
    with stoppable(), {what}("out" if "{what}" == "output_folder" else "new/out"):
        print("not interrupted")
except Stopped:
    print(os.listdir("."))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == "[]\n", (done.stdout, done.stderr)


@posix
def test_a_signal_that_compiled_code_makes_an_error_of_is_a_signal(cells, tmp_path):
    "pybind11 says that arguments are wrong when a conversion of one is interrupted: seen in a transform of matplotlib."
    code = """import os, signal
from ggml_nb.__main__ import main
from ggml_nb.shell import report

def page(*args, **how):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        [None for _ in range(10**6)]
    except BaseException:
        raise TypeError("incompatible function arguments") from None

report.write_report = page
raise SystemExit(main())
"""
    (tmp_path / "run.py").write_text(code)
    command = [sys.executable, str(tmp_path / "run.py"), "fit", str(cells), *FIT, "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM and "interrupted" in done.stderr.splitlines()[-1], done.stderr
    assert not (tmp_path / "out").exists()


@posix
@pytest.mark.parametrize("gap", [0.0, 0.01, 0.05, 0.3])
def test_a_second_interrupt_is_the_same_wish(gap, tmp_path):
    "Neither the tidying nor the line nor the end of the process is cut short by it."
    code = f"""import os, signal, threading, time
from ggml_nb.__main__ import main
from ggml_nb.shell import outputs
usual = outputs.shutil.rmtree

def rmtree(*args, **how):  # the second one comes while the state is removed
    again = threading.Timer({gap}, os.kill, (os.getpid(), signal.SIGINT))
    again.start()
    time.sleep(0.1)
    usual(*args, **how)

outputs.shutil.rmtree = rmtree
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT)).start()
raise SystemExit(main())"""
    command = [
        sys.executable,
        "-c",
        code,
        "demo",
        "--max-epochs",
        "1000",
        "--euclidean-cells",
        "1000",
        "-q",
        "-o",
        "out",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 130 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert set(os.listdir(tmp_path)) <= {"out.unfinished"}


@posix
def test_nohup_is_respected(tmp_path):
    code = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from ggml_nb.shell.cli import stoppable\n"
    code += "with stoppable(): signal.raise_signal(signal.SIGHUP); print('went on')\n"
    code += "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "went on\n"


@pytest.mark.parametrize("command", [["fit", *FIT, "-o"], ["distances", *FIT[:2], "-o"]])
@pytest.mark.parametrize("name", ["n" * 230, "ß" * 120, "n" * 230 + "/result", "n" * 300])
def test_a_name_too_long_for_the_disk_is_refused_before_the_work(command, name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([command[0], "nowhere.h5ad", *command[1:], name]) == 2
    error = capsys.readouterr().err
    assert "bytes (" in error and "give one of at most 221" in error and len(error.strip().splitlines()) == 1


def test_the_longest_name_is_written(tmp_path):
    with unfinished(tmp_path / ("n" * 221)) as keep, output_folder(tmp_path / ("n" * 221)) as folder:
        (folder / "a").touch()
        (keep / "fit-0.npz").touch()
    write_csv(pd.DataFrame({"a": [1]}), tmp_path / ("c" * 221))
    assert sorted(os.listdir(tmp_path)) == ["c" * 221, "n" * 221]


def test_a_parent_that_cannot_be_written_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    whole = tempfile.TemporaryFile

    def denied(dir):  # as for anybody but root
        if Path(dir) == tmp_path:
            raise PermissionError(13, "Permission denied")
        return whole(dir=dir)

    monkeypatch.setattr("tempfile.TemporaryFile", denied)
    for command in ("fit", "evaluate"):
        assert main([command, "nowhere.h5ad", *FIT[:4], "-o", "."]) == 2
        error = capsys.readouterr().err
        assert f"-o .: cannot write in {tmp_path}, where a lock and the state of the run are kept: Perm" in error
    check_output("new", ["report.html"])


def test_an_error_of_the_input_leaves_nothing_and_one_after_a_fit_its_state(tmp_path):
    for name, error, left in (("distances-0.npz", ValueError, False), ("fit-0.npz", ValueError, True)):
        with pytest.raises(error), unfinished(tmp_path / "out") as keep:
            (keep / name).touch()
            raise error
        assert (tmp_path / "out.unfinished").exists() == left


@pytest.mark.parametrize("command", ["fit", "evaluate"])
def test_clouds_that_are_all_alike_end_in_one_line_and_leave_nothing(command, tmp_path, capsys):
    adata = make_scrna(6, 5, 30, n_differential=5, seed=0)
    adata.obsm["alike"] = np.full((30, 3), 7.0)
    adata.write_h5ad(tmp_path / "alike.h5ad")
    how = [*FIT[:4], "--use-rep", "alike", "-q", "-o", str(tmp_path / "out")]
    assert main([command, str(tmp_path / "alike.h5ad"), *how]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "ggml-nb: warning: " not in line]
    assert len(error) == 1 and "every feature is constant: points that do not differ" in error[0]
    assert os.listdir(tmp_path) == ["alike.h5ad"]


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems hold text only")
def test_paths_may_hold_bytes_that_are_no_text(cells, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"b\xffd")
    shutil.copy(cells, f"{odd}.h5ad")
    assert main(["fit", f"{odd}.h5ad", *FIT, "-o", odd]) == 0
    assert main(["place", f"{odd}.h5ad", *FIT[:2], "--metric", f"{odd}/metric.npz", "-q", "-o", f"{odd}/new"]) == 0
    assert main(["genes", "--metric", f"{odd}/metric.npz", "-o", f"{odd}.csv"]) == 0
    assert r"b\udcffd.h5ad" in (tmp_path / odd / "report.html").read_text(encoding="utf-8")
    assert main(["fit", f"{odd}/none.h5ad", *FIT, "-o", "out"]) == 2
    assert sorted(os.listdir(b".")) == [b"b\xffd", b"b\xffd.csv", b"b\xffd.h5ad"]


def test_an_input_is_known_by_what_it_is_not_by_its_name(tmp_path):
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ValueError, match="would overwrite the input"):
        check_output(tmp_path / "b", None, [tmp_path / "a"], overwrite=True)


def test_what_is_no_state_of_a_run_is_not_removed(cells, result, tmp_path, capsys):
    keep = tmp_path / "out.unfinished"
    keep.mkdir()
    (keep / "notes.txt").write_text("mine")
    assert main(["fit", str(cells), *FIT, "-o", str(tmp_path / "out")]) == 2
    assert "holds notes.txt, which is no state of a run" in capsys.readouterr().err
    place = ["place", str(cells), *FIT[:2], "--metric", str(result / "metric.npz"), "-q", "-o", str(tmp_path / "out")]
    assert main(place) == 0 and (keep / "notes.txt").read_text() == "mine"


def test_an_output_within_the_input_is_refused(tmp_path, capsys):
    make_scrna(4, 20, 30, n_differential=5, seed=0).write_zarr(tmp_path / "c.zarr")
    store, within = str(tmp_path / "c.zarr"), str(tmp_path / "c.zarr" / "obs" / "table.csv")
    for asked in (["distances", store, *FIT[:2], "-q", "-o", within], ["fit", store, *FIT, "-o", store]):
        assert main([*asked, "--overwrite"]) == 2 and "lies within the input" in capsys.readouterr().err


@posix
def test_a_reader_that_has_gone_is_no_error(result, tmp_path):
    command = [sys.executable, "-m", "ggml_nb", "genes", "--metric", str(result / "metric.npz"), "-o", "genes.csv"]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    job.stdout.close()
    error = job.stderr.read()
    assert job.wait() == 0 and not error and (tmp_path / "genes.csv").exists()


@pytest.mark.parametrize("name", ["data.npz", "notes.json"])
def test_files_of_others_are_no_state(name, tmp_path):
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / name).touch()
    with pytest.raises(ValueError, match=f"holds {name}, which is no state of a run"), unfinished(tmp_path / "out"):
        pass
    assert (tmp_path / "out.unfinished" / name).exists()
