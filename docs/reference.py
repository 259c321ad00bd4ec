"""The reference pages, made from the tables in docs/reference/, the lessons and the docstrings: symbols, equations,
glossary, API by task, bibliography; and the links from the lessons' prose to the glossary."""

import csv
import re
from functools import cache
from pathlib import Path

import api
from lessons import NOT_PROSE, ROOT, lessons

import ggml_nb

TABLES = Path(__file__).parent / "reference"
PAGES = {"symbols": "Symbols", "equations": "Equations", "glossary": "Glossary", "api": "API by task"}
PAGES |= {"scope": "Scope and names", "bibliography": "Bibliography"}


@cache
def table(name):
    "Rows of a table in docs/reference/, as dicts."
    with open(TABLES / f"{name}.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    broken = [row for row in rows if None in row or None in row.values()]
    if broken:
        raise ValueError(f"docs/reference/{name}.tsv: a row with too few or too many tabs: {broken[0]}")
    return rows


def grid(head, rows):
    "A Markdown table."
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def first(pattern, where=lessons):
    "The first lesson in which a pattern occurs, in prose or code; None where there is none."
    rule = re.compile(pattern)
    return next((lesson for lesson in where() if any(rule.search(source) for _, source in lesson.cells)), None)


def linked(lesson):
    return lesson.link("reference/page") if lesson else "–"


# Symbols, equations, bibliography. -------------------------------------------------------------------------------


def symbols():
    "One row a meaning: a letter that means several things has several rows."
    rows = [
        [f"${row['symbol']}$", row["meaning"], row["shape"], linked(first(row["search"])), code(row["code"])]
        for row in table("symbols")
    ]
    head = ["symbol", "meaning", "shape", "first lesson", "name in code"]
    note = "The paper's letter wins. Where a letter means several things, each meaning has a row of its own."
    return note, grid(head, rows)


def code(names):
    return ", ".join(f"`{name}`" for name in names.split(", ") if name)


def test_link(name):
    "A test by file and name; it must exist."
    file, _, function = name.partition("::")
    if f"def {function}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8"):
        raise ValueError(f"docs/reference/equations.tsv: no test {function} in tests/{file}")
    return f"`tests/{file}`: `{function}`"


def equations():
    "Each statement with the lesson that derives it, the function that computes it and the test that holds it."
    text = [(TABLES / "equations.md").read_text(encoding="utf-8")]
    for row in table("equations"):
        lesson = first(row["search"])
        functions = [name for name in row["functions"].split(", ") if name]
        facts = [
            f"Lesson: {linked(lesson)}",
            "Function: " + ", ".join(api_link(name) for name in functions) if functions else "",
            f"Test: {test_link(row['test'])}" if row["test"] else "Test: a cell of the lesson",
        ]
        name = row["name"].format(n=lesson.number if lesson else "")
        text += [f"## {name}", f"$$\n{row['tex']}\n$$", row["words"], "  \n".join(filter(None, facts))]
    return text


def api_link(name):
    return f"[`{name}`](api.md#{name.lower()})" if name in ggml_nb.__all__ else f"`ggml_nb.{name}`"


def bibliography():
    "Each work, and the lessons that speak of it."
    text = ["Each work with the lessons that speak of it."]
    for row in table("bibliography"):
        users = [lesson for lesson in lessons() if re.search(row["search"], lesson.prose)]
        back = ", ".join(map(linked, users)) or "–"
        name = f"[{row['title']}]({row['url']})" if row["url"] else row["title"]
        text.append(f"({row['key']})=\n**{row['authors']}** ({row['year']}). {name}. {row['where']}  \nIn: {back}")
    return text


# The glossary, and links to it. ----------------------------------------------------------------------------------


def spelling(term):
    "Regular expression of a term and its other spellings; a space may be a line break."
    names = [term["term"], *filter(None, term["also"].split("|"))]
    return "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in sorted(names, key=len, reverse=True))


def defined_in(term):
    "The lesson that defines a term: the one the table names, else the first that has it in bold, in its title, at all."
    if term["lesson"]:
        return next(lesson for lesson in lessons() if lesson.path.name.startswith(f"{term['lesson']}_"))
    bold, plain = (re.compile(rf"(?i){edge}({spelling(term)})s?{edge}") for edge in (r"\*\*", r"\b"))
    for rule, part in ((bold, "prose"), (plain, "title"), (plain, "plain")):
        for lesson in lessons():
            if rule.search(getattr(lesson, part)):
                return lesson
    return None


def glossary():
    "Terms with a sentence or formula, the source and the lesson."
    entries = []
    for term in sorted(table("glossary"), key=lambda term: term["term"].lower()):
        source = f" *Source*: [{cited(term['source'])}](#{term['source']})." if term["source"] else ""
        entries.append(f"{term['term']}\n  {term['text']}{source} *Lesson*: {linked(defined_in(term))}.")
    return "The first mention of each term in a lesson leads here.", "```{glossary}\n" + "\n\n".join(entries) + "\n```"


def cited(key):
    row = next(row for row in table("bibliography") if row["key"] == key)
    surname = re.sub(r"^([A-Z]\. )+", "", row["authors"].split(",")[0])
    return f"{surname} {row['year']}"


def link_terms(source, seen):
    "Make the first mention of each term in some prose a link to the glossary; `seen` are the terms linked before."
    rules = {f"t{i}": term for i, term in enumerate(table("glossary"))}
    longest = sorted(rules, key=lambda key: -len(rules[key]["term"]))
    names = "|".join(f"(?P<{key}>(?:{spelling(rules[key])})s?)" for key in longest)
    rule = re.compile(rf"(?i)(?<![\w-])(?:{names})(?![\w-])")

    def link(match):
        term = rules[match.lastgroup]["term"]
        if term in seen:
            return match[0]
        seen.add(term)
        return f"{{term}}`{' '.join(match[0].split())} <{term}>`"

    parts = NOT_PROSE.split(source)  # prose and what is no prose, in turn
    return "".join(part if i % 2 else rule.sub(link, part) for i, part in enumerate(parts))


def write(folder):
    "Write the pages for Sphinx, and say which they are, in the order of the sidebar."
    makers = {"symbols": symbols, "equations": equations, "glossary": glossary, "bibliography": bibliography}
    makers |= {"api": lambda: [api.page()], "scope": lambda: [(TABLES / "scope.md").read_text(encoding="utf-8")]}
    folder.mkdir()
    for name, title in PAGES.items():
        parts = makers[name]()
        (folder / f"{name}.md").write_text("\n\n".join([f"# {title}", *parts, ""]), encoding="utf-8")
    return list(PAGES)
