"""Build the site in _site/ (or in the folder named) from the notebooks and their saved outputs; nothing is executed.

nbdev's directives are honoured here (`hide`, `echo`, `output`, `include`, `code-fold`), each figure gets a text from
its caption or its titles, each lesson a line under its title (lessons.py) and the signatures of what it exports at its
end, names in backticks and terms of the glossary become links (reference.py, which also makes the reference pages), and
Sphinx with myst-nb does the rest.
"""

import ast
import base64
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import reference
from execnb.nbio import mk_cell, write_nb
from lessons import NBS, ROOT, Lesson, chapter_title, header, pages, prerequisites
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import NBProcessor
from nbdev.processors import _default_exp, clean_magics, filter_stream_, hide_, hide_line, strip_ansi
from nbdev.showdoc import show_doc
from sphinx.cmd.build import main as sphinx_build

DOCS = ROOT / "docs"
TAGS = {  # what a directive means to myst-nb
    ("echo", "false"): "remove-input",
    ("output", "false"): "remove-output",
    ("include", "false"): "remove-cell",
    ("code-fold", "true"): "hide-input",
}
PLUMBING = set(
    """
take subset subsample as_matrix row_blocks plot_ellipse match_features some_names ground_distances search_basis
reduce_points scale_features training_coordinates make_problem make_transport one_torch_thread start_stays
warn_of_doubts grouped_split mend_split split_distributions clustering_scores as_model one_split answer_table ask
strata shuffle_within partition other_labellings majority_answers accuracy_interval spearman_interval read_clouds
fit_anndata write_result learned_record fitted_distributions project_anndata sample_means plot_genes plot_ranking
class_means learned_axes metric_matrix pseudobulk_test donor_cells residuals known_patterns donor_half check_top
warn_of_gap check_problem as_power refuse_fractions read_colors check_result kinds_of axes_of check_one_each as_seed
refuse_masked check_counts check_index check_path list_of_clouds generator_of as_array unsettled solve_dense
stored_colors learned_rows learned_target placement_table plain_answers filtered learned_from scanpys_genes values_of
is_network uses_torch stack_weights judgement as_method split_quality score_table draw_bars known_samples draw_world
draw_cells from_list __repr__ _repr_html_ __getitem__ keep_genes f_test highest record square_table
symmetric_table mean_accuracies search_space linear_image
""".split()
)  # exported functions of the core path whose code is not what the lesson is about: folded under their name
LINK = re.compile(r"(\]\()(\.\./[^)#\s]+)")
NESTED = re.compile(r"\[\[(`[^`]+`)\]\([^)]*\)\]\(([^)]*)\)")  # nbdev links a name within a link, too


def folded_as(source):
    "What to call a cell that only imports, checks arguments or draws: its code is folded; None for one to be read."
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic
        return None
    settings = re.compile(r"(plt\.|warnings\.|np\.set|rng\b|pd\.)")
    imports = [isinstance(part, (ast.Import, ast.ImportFrom)) for part in body]
    rest = [ast.get_source_segment(source, part) for part, imported in zip(body, imports) if not imported]
    if any(imports) and all(map(settings.match, rest)):
        return "Imports"
    checks = [isinstance(part, ast.FunctionDef) and part.name.startswith("check_") for part in body]
    if checks and all(checks):
        return "Check of the arguments"
    if re.search(r"^(quiz|moving)\(", source, re.M):
        return "Code of the question" if "\nquiz(" in f"\n{source}" else "Code of the figure"
    if re.match(r"(?:.*\n){0,3}for (wrong|change) in", source):
        return "Code of what it refuses"
    if "plt.subplots(" in source or "plt.figure(" in source:
        return "Code of the figure"
    names = [part.name for part in body if isinstance(part, (ast.FunctionDef, ast.ClassDef))]
    return f"Code of {', '.join(names)}" if PLUMBING & set(names) else None


def has_wide_figure(cell, most=700):
    "Is a picture so wide that a small screen had better scroll than shrink it? Its width stands in a PNG's header."
    pictures = ["".join(out.get("data", {}).get("image/png", "")) for out in cell.get("outputs", [])]
    return any(int.from_bytes(base64.b64decode(png[:32])[16:20], "big") > most for png in filter(None, pictures))


def said_in(source):
    "What a cell that draws writes on its figure: titles that are plain text, other titles, names of the axes."
    plain, mixed, axes = [], [], {}
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        titles = [word.value for word in call.keywords if word.arg == "title" and name != "legend"]
        titles += call.args[:1] if name in ("suptitle", "set_title") else []
        titles += call.args if name.startswith("plot_") else []
        words = {word.arg: word.value for word in call.keywords if word.arg in ("xlabel", "ylabel")}
        words |= {name.removeprefix("set_"): arg for arg in call.args[:1] if name in ("set_xlabel", "set_ylabel")}
        axes |= {key: word.value for key, word in words.items() if isinstance(word, ast.Constant)}
        for title in titles:
            if isinstance(title, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in title.values]
                mixed.append(" ".join("".join(parts).split()))
            elif isinstance(title, ast.Constant) and isinstance(title.value, str):
                (plain.insert(0, title.value) if name == "suptitle" else plain.append(title.value))
    return plain, mixed, axes


def alt_text(source, before, after):
    "A figure in words: the caption in italics below it, else titles and axes, and the heading where those say little."
    caption = re.match(r"\*([^*].*?[^*])\*(?:\n\n|\Z)", after, re.S)
    if caption:
        text = " ".join(caption[1].split())
    else:
        plain, mixed, axes = said_in(source)
        titles = list(dict.fromkeys(plain or mixed))
        if len(re.findall(r"\w+", " ".join(titles))) < 3:
            titles = re.findall(r"^#+ (.*)", before, re.M)[-1:] + titles
        along = [f"{way}: {axes[key]}" for key, way in (("xlabel", "across"), ("ylabel", "up")) if axes.get(key)]
        text = "; ".join([*titles, *along])
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)  # a link is its text
    return re.sub(r"\\(?:text|mathrm|mathcal)\b|[$`{}\\]", "", text)


def describe_figures(notebook):
    "Give each picture its text, for who does not see it."
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and any("image/png" in out.get("data", {}) for out in cell.get("outputs", [])):
            before = "\n\n".join(other.source for other in notebook.cells[:i] if other.cell_type == "markdown")
            after = next((other.source for other in notebook.cells[i + 1 : i + 2] if other.cell_type == "markdown"), "")
            cell.metadata.setdefault("mystnb", {})["image"] = {"alt": alt_text(cell.source, before, after)}


def set_tags(cell):
    "Turn a cell's directives into tags, and take the directive lines away; fold what is not to be read."
    if cell.cell_type != "code":
        return
    flags = {(key.rstrip(":"), *value[:1]) for key, value in cell.directives_.items()}
    tags = [tag for flag, tag in TAGS.items() if flag in flags]
    lines = [line for line in cell.source.splitlines() if not line.startswith("#|")]
    cell["source"] = "\n".join(lines).strip() or None  # a cell of directives only disappears
    name = None
    if cell.source and ("hide-input" in tags or not tags):
        name = folded_as(cell.source) or ("hide-input" in tags and "Code")
    if name:
        tags += ["hide-input"] * ("hide-input" not in tags)
        cell.metadata["mystnb"] = {"code_prompt_show": name, "code_prompt_hide": name}
    cell.metadata["tags"] = tags + ["exported"] * ("export" in cell.directives_) + ["wide"] * has_wide_figure(cell)


def exported(notebook):
    "The module that a notebook exports, and the public functions and classes in it."
    name = _default_exp(notebook)
    if not name:
        return None, []
    module = importlib.import_module(f"ggml_nb.{name}")
    return module, [name for name in module.__all__ if hasattr(getattr(module, name), "__name__")]


def api_cells(module, names):
    "A section with the signature of each exported name, and of each public method of an exported class."
    cells = [f"## API of `{module.__name__}`"]
    for name in names:
        symbol = getattr(module, name)
        members = vars(symbol) if isinstance(symbol, type) else {}
        methods = [key for key, value in members.items() if key[0] != "_" and callable(getattr(symbol, key))]
        docs = [(symbol, name, 3)] + [(getattr(symbol, key), f"{name}.{key}", 4) for key in methods]
        for what, title, level in docs:
            text = show_doc(what, name=title, title_level=level)._repr_markdown_()
            # nbdev's rule and its link to a code host are left out: the code stands above, on the same page
            cells.append(re.sub(r"\A---\n\n(\[source\].*\n\n)?", "", text))
    return [mk_cell(text, cell_type="markdown") for text in cells]


def out_of_site(folder, match):
    "A link to a file of the repository that is no page of the site leads to the code host."
    target = (folder / match[2]).resolve()
    if target.is_relative_to(NBS):
        return match[0]
    config = get_config()
    return f"{match[1]}{config.git_url}/blob/{config.branch}/{target.relative_to(ROOT).as_posix()}"


def write_chapter(folder, paths, target):
    "The landing page of a chapter: its README.md, and its lessons with what each says of itself."
    lessons = [Lesson(path) for path in paths]
    rows = [
        f"- [{lesson.title}]({lesson.path.name})  \n  {lesson.summary}  \n  *{lesson.kind}, {lesson.minutes} minutes*"
        for lesson in lessons
    ]
    text = (folder / "README.md").read_text(encoding="utf-8")
    target.parent.mkdir(exist_ok=True)
    target.write_text("\n".join([text, "## Lessons", "", *rows, ""]), encoding="utf-8")


def write_sources(folder):
    "Write the processed notebooks and the table of contents for Sphinx."
    paths = [NBS / "index.ipynb", *(path for group in pages().values() for path in group)]
    procs = [strip_ansi, hide_line, filter_stream_, clean_magics, hide_, set_tags]
    notebooks = {path: NBProcessor(path, rm_directives=False).nb for path in paths}
    apis = {path: exported(notebook) for path, notebook in notebooks.items()}
    links = NbdevLookup()
    for path, notebook in notebooks.items():
        links.syms = {
            name: f"{os.path.relpath(home, path.parent)}#{name.lower()}"
            for home, (_, names) in apis.items()
            for name in names
            if home != path
        }
        NBProcessor(nb=notebook, procs=procs, process=True, rm_directives=False)
        describe_figures(notebook)
        module, names = apis[path]
        if names:
            notebook.cells.extend(api_cells(module, names))
        seen = set()
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                text = NESTED.sub(r"[\1](\2)", links.linkify(cell.source) or "")
                cell.source = LINK.sub(partial(out_of_site, path.parent), text)
                if path.stem != "index":
                    cell.source = reference.link_terms(cell.source, seen)
        if path.stem == "index":
            complete_index(notebook)
        else:
            notebook.cells.insert(1, mk_cell(header(Lesson(path)), cell_type="markdown"))
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "python3", "language": "python"}
        target = folder / path.relative_to(NBS)
        target.parent.mkdir(exist_ok=True)
        write_nb(notebook, target)
    for chapter, lessons in pages().items():
        write_chapter(chapter, lessons, folder / chapter.name / "README.md")
    reference.write(folder / "reference")
    for file in NBS.rglob("*"):  # pictures that the prose refers to
        if file.suffix in {".png", ".svg", ".jpg", ".gif"}:
            target = folder / file.relative_to(NBS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def complete_index(notebook):
    "Give the front page the map of the lessons, after their table, and the table of contents."
    place = next(i for i, cell in enumerate(notebook.cells) if cell.source and "## Lessons" in cell.source)
    notebook.cells.insert(place + 1, mk_cell(prerequisites(), cell_type="markdown"))
    notebook.cells.append(mk_cell(contents(), cell_type="markdown"))


def contents():
    "The hidden table of contents that orders the sidebar and the previous/next links."
    blocks = []
    for folder, paths in pages().items():
        names = "\n".join(path.relative_to(NBS).with_suffix("").as_posix() for path in paths)
        first = f"About this chapter <{folder.name}/README>"
        blocks.append(f"```{{toctree}}\n:caption: {chapter_title(folder)}\n:hidden:\n\n{first}\n{names}\n```")
    names = "\n".join(f"reference/{name}" for name in reference.PAGES)
    blocks.append(f"```{{toctree}}\n:caption: Reference\n:hidden:\n\n{names}\n```")
    return "\n\n".join(blocks)


def copy_mathjax(static):
    "Copy what MathJax needs for TeX to HTML: no page asks for anything from a network."
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    for name in ["tex-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2"]:
        target = static / "mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (package / name).is_dir() else shutil.copy)(package / name, target)


def main(target=ROOT / "_site"):
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "source", Path(folder) / "site"
        source.mkdir()
        write_sources(source)
        status = sphinx_build(["-q", "-W", "--keep-going", "-c", str(DOCS), str(source), str(output)])
        if status == 0:
            copy_mathjax(output / "_static")
            shutil.rmtree(output / ".doctrees", ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            shutil.move(output, target)
            print(f"the site is in {target}: open index.html there")
        return status


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
