"""The site as a reader gets it: links that lead somewhere, no raw markup, nothing from a network; examples that run."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import matplotlib.pyplot as plt
import numpy as np
import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))

import api
import lessons

ROOT = Path(__file__).resolve().parent.parent
LESSONS = lessons.lessons()
SETUP, EXAMPLES = api.examples()
NETWORK = {"download_cellxgene", "enrich_gprofiler", "ggml-nb download"}  # tests/shell and tests/cells have a server


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    "The site, built once, whichever process asks first; its pages parsed."
    needed = ["sphinx", "myst_nb", "furo", "sphinx_copybutton", "bs4", "nbdev"]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing and not os.environ.get("CI"):
        pytest.skip(f"not installed: {missing}: pip install '.[dev,docs]'")
    shared = (
        tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else tmp_path_factory.mktemp("s")
    )
    with FileLock(shared / "site.lock"):
        if not (shared / "site").exists():
            command = [sys.executable, ROOT / "docs" / "build.py", shared / "site"]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, done.stdout
    from bs4 import BeautifulSoup

    files = sorted((shared / "site").rglob("*.html"))
    return {file: BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser") for file in files}


def page(site, name):
    return next(soup for file, soup in site.items() if file.as_posix().endswith(f"/site/{name}.html"))


def lesson_page(site, lesson):
    return page(site, lesson.path.relative_to(lessons.NBS).with_suffix("").as_posix())


def test_every_lesson_has_its_page_and_its_line(site):
    for lesson in LESSONS:
        line = lesson_page(site, lesson).select_one(".lesson-line").get_text()
        assert f"{lesson.minutes} minutes" in line and f"· {lesson.kind}" in line
        assert all(other.term.replace("'", "’") in line for other in lesson.needs)


def test_the_core_path_builds_on_what_was_read():
    "No lesson of the core path but the first is said to need nothing; it ends at the tutorial."
    core = [lesson for lesson in LESSONS if lesson.core]
    assert core[0].number == "11" and "Tutorial" in core[-1].title and all(lesson.needs for lesson in core[1:])
    assert {lesson.kind for lesson in LESSONS} == {"core path", "side path", "engine room"}


def test_the_map_leads_to_every_lesson(site):
    boxes = page(site, "index").select("#lesson-map a")
    assert [box["data-lesson"] for box in boxes] == [lesson.number for lesson in LESSONS]
    arrows = page(site, "index").select("#lesson-map path")
    assert len(arrows) == sum(len(lesson.needs) for lesson in LESSONS)


def test_links_and_anchors_lead_somewhere(site):
    ids = {file: {tag["id"] for tag in soup.select("[id]")} for file, soup in site.items()}
    broken = []
    for file, soup in site.items():
        for link in {tag["href"] for tag in soup.select("a[href]")} - {"#"}:
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (file.parent / unquote(path)).resolve() if path else file
            if not target.exists() or (anchor and target in ids and unquote(anchor) not in ids[target]):
                broken.append((file.name, link))
    assert not broken


def test_nothing_is_asked_of_a_network(site):
    remote = re.compile(r"(?:https?:)?//")
    for file, soup in site.items():
        tags = soup.select("script[src], img[src], iframe[src], source[src], video[src], link[href]")
        asked = [tag.get("src") or tag.get("href") for tag in tags]
        asked += re.findall(r"(?:@import\s+|url\()['\"]?([^'\")]+)", "".join(tag.get_text() for tag in soup("style")))
        assert not [address for address in asked if remote.match(address)], file
    for file in next(iter(site)).parent.rglob("*.css"):
        found = re.findall(r"(?:@import\s+|url\()['\"]?(?:https?:)?//[^'\")]+", file.read_text(encoding="utf-8"))
        assert not found, file


def test_no_markup_is_printed_as_text(site):
    raw = re.compile(r"\]\([^)\s]+\)|\*\*[a-zA-Z][^*]*\*\*|```|\{(?:term|ref|doc)\}|\$[^$\s][^$]*\$|^#{1,6} \w")
    found = []
    for file, soup in site.items():
        for tag in soup.select("article p, article li, article td, article dd, article h1, article h2, article h3"):
            text = "".join(
                part for part in tag.find_all(string=True) if not part.find_parent(["code", "pre", "script", "style"])
            )
            if raw.search(text) and not tag.select_one(".math") and not tag.find_parent(class_="output"):
                found.append((file.name, text[:120]))
    assert not found


def test_references_are_whole(site):
    symbols = page(site, "reference/symbols")
    lacking = [row.get_text(" ", strip=True) for row in symbols.select("tbody tr") if not row.select_one("a")]
    assert not lacking, "no lesson has these: mend the column `search` of docs/reference/symbols.tsv"
    terms = {tag["id"] for tag in page(site, "reference/glossary").select("dt[id]")}
    used = {
        link["href"].partition("#")[2]
        for soup in site.values()
        for link in soup.select('a[href*="glossary.html#term-"]')
    }
    assert len(terms) >= 35 and used <= terms
    assert not [tag for tag in page(site, "reference/equations").select("article p") if "Lesson: –" in tag.get_text()]


def shown(html):
    "Characters of code and of prose that a page shows: nothing folded, no outputs, no signatures at the end."
    from bs4 import BeautifulSoup

    article = BeautifulSoup(html, "html.parser").select_one("article")  # a copy, which loses its signatures
    for heading in article.select("section > h2"):
        if heading.get_text().startswith("API of"):
            heading.parent.extract()
    code = [tag for tag in article.select(".cell_input pre") if not tag.find_parent("details")]
    prose = [tag for tag in article.select("p, li, td, th") if not tag.find_parent(["details", "li", "td", "th"])]
    prose = [tag for tag in prose if not tag.find_parent(class_=["output", "cell_output"])]
    prose += article.select(".quiz > p, .quiz summary")
    return [sum(len(tag.get_text()) for tag in kind) for kind in (code, prose)]


def test_the_core_path_is_prose_more_than_code(site):
    "One and a half characters of code for one of prose, at most."
    sizes = {lesson.number: shown(str(lesson_page(site, lesson))) for lesson in LESSONS if lesson.core}
    print(*(f"{name}: {code} to {prose}, {code / prose:.2f}" for name, (code, prose) in sizes.items()), sep="\n")
    code, prose = map(sum, zip(*sizes.values()))
    assert code <= 1.5 * prose


def test_figures_are_said_in_words(site):
    for lesson in LESSONS:
        page = lesson_page(site, lesson)
        texts = [figure.get("alt", "") for figure in page.select(".cell_output img")]
        texts += [figure.get("aria-label", "") for figure in page.select(".cell_output svg[role=img]")]
        bad = [text for text in texts if not text.strip() or re.search(r"\.png$|[{}$\\]", text)]
        bad += [text for text in texts if lesson.core and len(text.split()) < 2]
        assert not bad and (texts or not lesson.core), (lesson.path.stem, bad)


def test_a_caption_is_the_text_of_its_figure():
    import build

    source = 'fig.suptitle("Two clouds")\nax.set(title=f"{name}: {n} points", xlabel="gene 0", ylabel="$x_1$")'
    assert build.alt_text(source, "", "*A [caption](x.md)\nof `two` lines.*\n\nText.") == "A caption of two lines."
    assert build.alt_text(source, "", "**Bold** text.") == "Two clouds; across: gene 0; up: x_1"
    assert build.alt_text("ax.plot()", "# One\n\n## Where it stands\n\nText", "") == "Where it stands"
    assert build.alt_text('ax.set(title=f"{n} of 6")', "# How\n", "") == "How; … of 6"


def test_what_is_folded_is_there():
    "A name that is gone would unfold nothing, in silence."
    import build

    sources = "\n".join(source for lesson in LESSONS for kind, source in lesson.cells if kind == "code")
    assert not [name for name in build.PLUMBING if not re.search(rf"^def {name}\(", sources, re.M)]


def test_questions_answer_back(site):
    "Two or more in each core lesson; of the answers to one, a single one is right, and each says why."
    for lesson in LESSONS:
        questions = lesson_page(site, lesson).select(".quiz")
        assert len(questions) >= 2 or not lesson.core, lesson.path.stem
        for question in questions:
            verdicts = [tag.get_text() for tag in question.select("details > p > strong")]
            assert verdicts.count("Right.") == 1 and verdicts.count("No.") == len(verdicts) - 1 >= 1
            assert all(len(tag.get_text()) > 8 for tag in question.select("details > p"))


def test_a_right_answer_is_one_of_the_answers():
    from ggml_nb._page import quiz

    with pytest.raises(ValueError, match="right must be one of"):
        quiz("1 + 1?", {2: "It is.", 3: "One more."}, right=4)


@pytest.fixture
def browser(tmp_path):
    "A page as a browser has it after its scripts ran."
    names = ["chromium", "chromium-browser", "google-chrome"]
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no browser: none of {names}")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += f" --disable-component-update --disable-sync --virtual-time-budget=5000 --user-data-dir={tmp_path}"

    def dom(address):
        from bs4 import BeautifulSoup

        command = [program, *flags.split(), "--dump-dom", address]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120)
        return BeautifulSoup(done.stdout, "html.parser")

    return dom


def figure_at(site, browser, lesson, name, at):
    "A moving figure as the browser shows it with its slider at one position, and the numbers that its page carries."
    file = next(file for file in site if file.name == f"{lesson}.html")
    script = next(tag.get_text() for tag in site[file]("script") if f'getElementById("{name}")' in tag.get_text())
    figure = site[file].select_one(f"#{name}")
    assert len(script) + len(str(figure)) < 50_000
    assert figure.select_one("label input[type=range]") and len(figure.select_one("label").get_text(strip=True)) > 4
    assert figure.select_one("svg[role=img][aria-label]")
    return browser(f"{file.as_uri()}?{name}={at}").select_one(f"#{name}"), json.loads(
        re.search(r"const data = (\{.*\}), figure", script)[1]
    )


@pytest.mark.parametrize("at", [3, 20])
def test_the_row_of_w_turns(site, browser, at):
    "The browser shows the numbers that the notebook computed for this position."
    figure, numbers = figure_at(site, browser, "12_mahalanobis", "turn-w", at)
    shown = figure.select_one("output").get_text()
    assert shown == f"{numbers['angles'][at]} degrees, between over within {numbers['ratio'][at]:.3f}"
    assert float(figure.select_one("ellipse")["rx"]) == numbers["ball"][at][0]
    assert [float(dot["cx"]) for dot in figure.select(".image circle")] == [x for x, _ in numbers["image"][at]]


@pytest.mark.parametrize("at", [4, 22])
def test_the_envelope_is_touched(site, browser, at):
    "The plan, its cost and its tangent are those of this angle, and the fixed plan's curve touches the best one here."
    figure, numbers = figure_at(site, browser, "14_transport", "envelope", at)
    assert f"cost {numbers['cost'][at]:.3f}, slope {numbers['slope'][at]:.2f}" in figure.select_one("output").get_text()
    assert len(figure.select(".moves line")) == len(numbers["moves"][at])
    assert float(figure.select_one(".here")["cx"]) == numbers["x"][at]
    dashed = [float(y) for y in re.findall(r" ([\d.]+)", figure.select_one(".fixed")["d"])]
    assert dashed == numbers["fixed"][at] and dashed[at] == pytest.approx(numbers["y"][at], abs=0.11)
    assert all(y <= best + 0.11 for y, best in zip(dashed, numbers["y"]))  # dearer is higher, and y points down


@pytest.mark.parametrize("margin, epoch", [(1, 4), (3, 0)])
def test_the_margin_decides_who_is_active(site, browser, margin, epoch):
    "Two sliders: the triplets that are drawn as active are those whose gap is above -1 margins."
    figure, numbers = figure_at(site, browser, "17_training", "margin", f"{margin},{epoch}")
    frame = numbers["frames"][margin * len(numbers["epochs"]) + epoch]
    said = (
        f"margin {numbers['margins'][margin]}, epoch {numbers['epochs'][epoch]}: {100 * frame['active']:.1f} % active"
    )
    assert figure.select_one("output").get_text().startswith(said)
    colors = [dot["fill"] for dot in figure.select(".triplets circle")]
    assert [color == "#FF800E" for color in colors] == [gap > -1 for gap in frame["gap"]]
    across = [float(dot["cx"]) for dot in figure.select(".cloud circle")]
    assert max(map(abs, across)) <= 135.001 and len(across) == len(numbers["points"])


@pytest.fixture(scope="module")
def prepared():
    "What the lines at the head of the API page make."
    space = {}
    exec(SETUP, space)
    return space


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e[1] == "python"], ids=lambda e: e[0])
def test_example_runs(example, prepared):
    name, _, kind, code = example
    assert (kind == "network") == (name in NETWORK)
    assert len(code.strip().splitlines()) <= 3
    if kind == "network":
        return
    space = {**prepared, "adata": prepared["adata"].copy()}
    *lines, last = code.strip().splitlines()
    value, _, expected = last.partition("  # ")
    try:
        result = eval(value, exec("\n".join(lines), space) or space)
    except SyntaxError:  # a statement
        exec(value, space)
    else:
        assert not expected or repr(result) == expected
    plt.close("all")


def test_attributes_are_as_the_page_says(prepared):
    "Every attribute in the tables of the API page is there, in its shape."
    gg, clouds, model = (prepared[name] for name in ("gg", "clouds", "model"))
    engine, blurred = gg.PairwiseTransport(clouds), gg.SinkhornTransport(clouds, epsilon=1.0, device="cpu")
    Z = gg.project(clouds.points, model.components_)
    for each in (engine, blurred):
        each.solve_embedded(Z)
    result = gg.wasserstein(clouds[0][:7], clouds[1])
    space = {"data": clouds, "model": model, "engine": engine, "blurred": blurred, "result": result}
    space |= {"plans": engine.plans(Z), "proof": engine.certificate(0)}
    (k, d), P = model.components_.shape, len(engine.pairs)
    sizes = {"N": len(Z), "n": len(clouds), "d": d, "C": 3, "k": k, "E": model.n_iter_, "P": P}
    rows = re.findall(r"^\| (`.*?`) \| (\(.*?\)) \|", api.SOURCE.read_text(encoding="utf-8"), re.M)
    assert len(rows) > 40
    for names, shapes in rows:
        names = re.findall(r"`(.*?)`", names)
        parts = re.findall(r"\(.*?\)", shapes)
        for name, shape in zip(names, parts, strict=True):
            value = eval(name, space)
            if not re.search(r"[a-z]{2}", shape):
                here = sizes | ({"n": 7, "m": len(clouds[1])} if name.startswith("result") else {})
                assert getattr(value, "shape", np.shape(value)) == eval(shape, here), name


def test_shell_examples_run(tmp_path, prepared, monkeypatch):
    from ggml_nb.shell.cli import main

    prepared["gg"].make_scrna(12, n_cells=30, n_genes=100, n_types=2, n_differential=10, seed=0).write_h5ad(
        tmp_path / "cells.h5ad"
    )
    (tmp_path / "sets.gmt").write_text("one\t-\tgene 0001\tgene 0002\n")
    monkeypatch.chdir(tmp_path)
    for name, language, kind, code in EXAMPLES:
        assert (kind == "network") == (name in NETWORK)
        if language == "sh" and kind != "network":
            program, *arguments = shlex.split(code)
            assert program == "ggml-nb" and name.split()[1] == arguments[0]
            assert main([*arguments, *["-q"] * (arguments[0] != "genes")]) == 0, code
