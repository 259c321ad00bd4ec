"""Build the site in _site/ from the notebooks and their saved outputs; nothing is executed.

nbdev's directives are honoured here (`hide`, `echo`, `output`, `include`, `code-fold`), each lesson gets the signatures
of what it exports at its end, names in backticks become links to them, and Sphinx with myst-nb does the rest.
"""

import importlib.util
import os
import re
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from execnb.nbio import mk_cell, write_nb
from nbdev.config import get_config
from nbdev.doclinks import NbdevLookup
from nbdev.process import NBProcessor
from nbdev.processors import _default_exp, clean_magics, filter_stream_, hide_, hide_line, strip_ansi
from nbdev.showdoc import show_doc
from sphinx.cmd.build import main as sphinx_build

ROOT = Path(__file__).resolve().parent.parent
NBS, DOCS = ROOT / "nbs", ROOT / "docs"
TAGS = {  # what a directive means to myst-nb
    ("echo", "false"): "remove-input",
    ("output", "false"): "remove-output",
    ("include", "false"): "remove-cell",
    ("code-fold", "true"): "hide-input",
}
LINK = re.compile(r"(\]\()(\.\./[^)#\s]+)")
CHAPTERS = {
    "1_method": "1 The method",
    "2_solver": "2 The solver",
    "3_estimator": "3 The estimator",
    "4_evaluation": "4 Evaluation",
    "5_cells": "5 Single cells",
    "6_shell": "6 From a shell",
    "7_paper": "7 The paper, made again",
}


def set_tags(cell):
    "Turn a cell's directives into tags, and take the directive lines away."
    if cell.cell_type != "code":
        return
    flags = {(key.rstrip(":"), *value[:1]) for key, value in cell.directives_.items()}
    tags = [tag for flag, tag in TAGS.items() if flag in flags]
    cell.metadata["tags"] = tags + ["exported"] * ("export" in cell.directives_)
    lines = [line for line in cell.source.splitlines() if not line.startswith("#|")]
    cell["source"] = "\n".join(lines).strip() or None  # a cell of directives only disappears


def exported(notebook):
    "The module that a notebook exports, and the public functions and classes in it."
    name = _default_exp(notebook)
    if not name:
        return None, []
    module = importlib.import_module(f"ggml_nb.{name}")
    return module, [name for name in module.__all__ if callable(getattr(module, name))]


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


def pages():
    "The site's notebooks by chapter: a folder a chapter, file names in reading order."
    return {title: sorted((NBS / folder).glob("*.ipynb")) for folder, title in CHAPTERS.items()}


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
        module, names = apis[path]
        if names:
            notebook.cells.extend(api_cells(module, names))
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = LINK.sub(partial(out_of_site, path.parent), links.linkify(cell.source) or "")
        if path.stem == "index":
            notebook.cells.append(mk_cell(contents(), cell_type="markdown"))
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "python3", "language": "python"}
        target = folder / path.relative_to(NBS)
        target.parent.mkdir(exist_ok=True)
        write_nb(notebook, target)
    for file in NBS.rglob("*"):  # pictures that the prose refers to
        if file.suffix in {".png", ".svg", ".jpg", ".gif"}:
            target = folder / file.relative_to(NBS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)


def contents():
    "The hidden table of contents that orders the sidebar and the previous/next links."
    blocks = []
    for title, paths in pages().items():
        if paths:
            names = "\n".join(path.relative_to(NBS).with_suffix("").as_posix() for path in paths)
            blocks.append(f"```{{toctree}}\n:caption: {title}\n:hidden:\n\n{names}\n```")
    return "\n\n".join(blocks)


def copy_mathjax(static):
    "Copy what MathJax needs for TeX to HTML: no page asks for anything from a network."
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    for name in ["tex-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2"]:
        target = static / "mathjax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (package / name).is_dir() else shutil.copy)(package / name, target)


def main():
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "source", Path(folder) / "site"
        source.mkdir()
        write_sources(source)
        status = sphinx_build(["-q", "-W", "--keep-going", "-c", str(DOCS), str(source), str(output)])
        if status == 0:
            copy_mathjax(output / "_static")
            shutil.rmtree(output / ".doctrees", ignore_errors=True)
            shutil.rmtree(ROOT / "_site", ignore_errors=True)
            shutil.move(output, ROOT / "_site")
            print("the site is in _site/: open _site/index.html")
        return status


if __name__ == "__main__":
    sys.exit(main())
