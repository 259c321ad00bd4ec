"""Make README.md from nbs/index.ipynb: prose, visible code and saved outputs (nbdev_readme would need Quarto).

    python tools/make_readme.py            writes README.md, and its figures to docs/readme/
    python tools/make_readme.py --check    writes nothing; exit status 1 if README.md is out of date

Links to files are relative to the notebook there, so `nbs/` is put before them here.
"""

import base64
import re
import sys
from pathlib import Path

from nbdev.process import NBProcessor
from nbdev.processors import clean_magics, filter_stream_, hide_, hide_line, strip_ansi

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(\]\(|(?:src|href)=\")(?!https?:|mailto:|#)([^)\"\s]+)")


def output_markdown(out, name, figures):
    "One saved output as Markdown; a picture is added to `figures`."
    data = out.get("data", {})
    if "image/png" in data:
        figures[f"{name}.png"] = base64.b64decode("".join(data["image/png"]))
        return f"![](docs/readme/{name}.png)"
    if "text/markdown" in data:
        return "".join(data["text/markdown"]).strip()
    text = out.get("text") if out.get("name") == "stdout" else data.get("text/plain")
    return "```text\n" + "".join(text).rstrip() + "\n```" if text else ""


def from_root(match):
    "A link seen from the notebook's folder, as seen from the repository's root."
    path = (Path("nbs") / match[2]).as_posix()
    return match[1] + (path.removeprefix("nbs/../") if match[2].startswith("../") else path)


def cell_markdown(cell, figures):
    "One cell as Markdown."
    if cell.cell_type == "markdown":
        return LINK.sub(from_root, cell.source.strip())
    if cell.cell_type != "code":
        return ""
    flags = {key.rstrip(":"): value for key, value in cell.directives_.items()}
    if flags.get("include") == ["false"]:
        return ""
    source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("#|")).strip()
    parts = [f"```python\n{source}\n```"] if source and flags.get("echo") != ["false"] else []
    if flags.get("output") != ["false"]:
        outputs = enumerate(cell.get("outputs", []))
        parts += [output_markdown(out, f"{cell.id}-{i}", figures) for i, out in outputs]
    return "\n\n".join(filter(None, parts))


def make_readme():
    "The text of README.md, and its figures by file name."
    procs = [strip_ansi, hide_line, filter_stream_, clean_magics, hide_]
    notebook = NBProcessor(ROOT / "nbs" / "index.ipynb", procs=procs, process=True).nb
    figures = {}
    note = "<!-- Made from nbs/index.ipynb by tools/make_readme.py: edit the notebook. -->"
    parts = [note, *(cell_markdown(cell, figures) for cell in notebook.cells)]
    return "\n\n".join(filter(None, parts)) + "\n", figures


if __name__ == "__main__":
    text, figures = make_readme()
    readme, folder = ROOT / "README.md", ROOT / "docs" / "readme"
    saved = {file.name: file.read_bytes() for file in folder.glob("*.png")}
    if "--check" in sys.argv[1:]:
        fresh = readme.exists() and readme.read_text(encoding="utf-8") == text and saved == figures
        sys.exit(None if fresh else "README.md is out of date: run tools/make_readme.py")
    readme.write_text(text, encoding="utf-8")
    for name in saved.keys() - figures.keys():
        (folder / name).unlink()
    for name, png in figures.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(png)
