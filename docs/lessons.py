"""What the lessons say of themselves: title, prose, links to each other; nothing keeps a second list of them."""

import json
import math
import os
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
CORE = set("11 12 13 14 15 16 17 33 37 41 42 52 54 58".split())  # the others are detours,
SIDE = set("38 56 57 57a".split())  # for what else one may want to do, or engine rooms: how it is done
NOT_PROSE = re.compile(
    r"(^```.*?^```|`[^`]+`|\$\$.*?\$\$|\$[^$]+\$|!?\[[^\]]*\]\([^)]*\)|<[^>\n]+>|^#.*?$|^>.*?$)", re.M | re.S
)  # code, maths, links, tags, headings and the summary


@dataclass(frozen=True)
class Lesson:
    "One notebook, as far as its text goes."

    path: Path

    @cached_property
    def cells(self):
        "Pairs of kind and source."
        cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
        return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]

    @cached_property
    def prose(self):
        return "\n\n".join(source for kind, source in self.cells if kind == "markdown")

    @property
    def plain(self):
        "The prose without code, maths, links and headings."
        return NOT_PROSE.sub(" ", self.prose)

    @property
    def number(self):
        return self.path.stem.split("_")[0]

    @property
    def title(self):
        return re.search(r"^# (.*)", self.prose, re.M)[1]

    @property
    def term(self):
        "Number and term: the title without its question."
        return self.title.partition(":")[0]

    @property
    def summary(self):
        found = re.search(r"^> (.*)", self.prose, re.M)
        return found[1] if found else ""

    @property
    def core(self):
        return self.number in CORE

    @property
    def kind(self):
        return "core path" if self.core else "side path" if self.number in SIDE else "engine room"

    @property
    def minutes(self):
        "A hundred words a minute, those of the code included: mathematics is read slowly."
        return math.ceil(sum(len(source.split()) for _, source in self.cells) / 100)

    @property
    def needs(self):
        "The lessons with smaller numbers that this one links to."
        names = set(re.findall(r"\]\((?:[^)\s]*/)?(\d\d\w*)\.ipynb", self.prose))
        return [lesson for lesson in lessons() if lesson.path.stem in names and lesson.path.stem < self.path.stem]

    def link(self, page, text=None):
        "A Markdown link to this lesson, seen from another page of nbs/."
        where = Path(os.path.relpath(self.path, (NBS / page).parent)).as_posix()
        return f"[{text or self.term}]({where})"


def pages():
    "The site's notebooks by chapter: a folder a chapter, file names in reading order."
    folders = sorted(path for path in NBS.iterdir() if (path / "README.md").exists())
    return {folder: sorted(folder.glob("*.ipynb")) for folder in folders}


@cache
def lessons():
    "All lessons in reading order."
    return [Lesson(path) for paths in pages().values() for path in paths]


def chapter_title(folder):
    return (folder / "README.md").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def header(lesson):
    "The line under a lesson's title: what it needs, how long it takes, where the core path goes on."
    page = lesson.path.relative_to(NBS)
    needs = ", ".join(other.link(page) for other in lesson.needs) or "no other lesson"
    after = [other for other in lessons() if other.core and other.path.stem > lesson.path.stem][:1]
    where = "core path, which" if lesson.core else f"{lesson.kind}; the core path"
    on = f"{where} goes on with {after[0].link(page)}" if after else where.split(",")[0].split(";")[0]
    return f"```{{container}} lesson-line\nNeeds {needs} · {lesson.minutes} minutes · {on}\n```"


# The map of prerequisites. ---------------------------------------------------------------------------------------

WIDE, HIGH, STEP, TOP = 114, 44, (131, 56), 34  # of a box, and from box to box


def rows_of(text, most=13, rows=3):
    "A term cut into the short lines of a box."
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most and len(lines) < rows:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [line if len(line) <= most + 1 else f"{line[:most]}…" for line in lines]


def box(lesson, x, y):
    "A lesson on the map: a link with number, term, and its title for whoever points at it."
    number, _, name = lesson.term.partition(" ")
    rows = rows_of(name)
    middle = y + 26 - 6 * (len(rows) - 1)
    text = "".join(f'<text x="{x + 33}" y="{middle + 12 * i}">{row}</text>' for i, row in enumerate(rows))
    href = lesson.path.relative_to(NBS).with_suffix(".html").as_posix()
    kind = "core" if lesson.core else "engine"
    return (
        f'<a href="{href}" class="{kind}" data-lesson="{number}"><title>{escape(lesson.title)}</title>'
        f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="5"/>'
        f'<text class="number" x="{x + 6}" y="{y + 26}">{number}</text>{text}</a>'
    )


def escape(text):
    return re.sub(r"\$([^$]*)\$", r"\1", text).replace("&", "&amp;").replace("<", "&lt;")


def arrow(start, end, ends):
    "A curve from a lesson to one that needs it."
    (x, y), (u, v) = start, end
    if x == u:  # one chapter: round the right side
        x, y, u, v = x + WIDE, y + HIGH / 2, u + WIDE, v + HIGH / 2
        bend = min(15, 6 + (v - y) / 40)
        curve = f"M{x},{y} C{x + bend},{y} {u + bend},{v} {u},{v}"
    else:
        x, y, v = x + WIDE, y + HIGH / 2, v + HIGH / 2
        curve = f"M{x},{y} C{x + 40},{y} {u - 40},{v} {u},{v}"
    return f'<path d="{curve}" class="from-{ends[0]} to-{ends[1]}"/>'


SCRIPT = """
document.querySelectorAll("#lesson-map a").forEach(a => {
  const paths = document.querySelectorAll(`#lesson-map .to-${a.dataset.lesson}, #lesson-map .from-${a.dataset.lesson}`);
  for (const [event, on] of [["mouseenter", true], ["focus", true], ["mouseleave", false], ["blur", false]])
    a.addEventListener(event, () => paths.forEach(path => path.classList.toggle("shown", on)));
});
"""


def prerequisites():
    "A column a chapter, a box a lesson that leads to it, an arrow from each lesson to those that need it."
    places = {
        Lesson(path): (column * STEP[0] + 2, TOP + row * STEP[1])
        for column, paths in enumerate(pages().values())
        for row, path in enumerate(paths)
    }
    heads = "".join(
        f'<text class="chapter" x="{i * STEP[0] + 2}" y="20">{escape(chapter_title(folder).partition(",")[0])}</text>'
        for i, folder in enumerate(pages())
    )
    arrows = [
        arrow(places[other], place, (other.number, lesson.number))
        for lesson, place in places.items()
        for other in lesson.needs
    ]
    boxes = [box(lesson, *place) for lesson, place in places.items()]
    width, height = (max(place[i] for place in places.values()) for i in (0, 1))
    size = f"{width + WIDE + 24} {height + HIGH + 4}"
    label = "Map of the lessons: an arrow leads from a lesson to one that needs it"
    svg = f'<svg id="lesson-map" viewBox="0 0 {size}" role="img" aria-label="{label}">'
    body = "\n".join([svg, heads, *arrows, *boxes, "</svg>"])
    core = {lesson for lesson in places if lesson.core}
    needed, stack = set(), list(core)
    while stack:
        needed.add(lesson := stack.pop())
        stack += [other for other in lesson.needs if other not in needed]
    hours, all_hours = (sum(lesson.minutes for lesson in some) / 60 for some in (core, needed))
    note = "An arrow leads from a lesson to one that builds on it. The core path is blue and takes about "
    note += (
        f"{hours:.0f} hours, if what it needs from elsewhere is taken on trust, and about {all_hours:.0f} with that; "
    )
    note += "the others are engine rooms, "
    note += "for whoever wants to know how it is done, and side paths to further uses."
    return f'{note}\n\n```{{raw}} html\n<div class="lesson-map">\n{body}\n</div>\n<script>{SCRIPT}</script>\n```'
