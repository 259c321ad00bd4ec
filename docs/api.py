"""API by task: docs/reference/api.md has tasks, names and examples; signatures, parameters, returns and errors are read
from the code. The examples run in tests/test_site.py."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import click

import ggml_nb
from ggml_nb.shell.cli import commands

SOURCE = Path(__file__).parent / "reference" / "api.md"
BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```\n", re.M | re.S)
SECTION = re.compile(r"^### ([^\n]*)\n\n(.*?)(?=^##|\Z)", re.M | re.S)


def examples():
    "Setup lines, and (name, language, kind, code) of each example."
    text = SOURCE.read_text(encoding="utf-8")
    [setup] = [code for _, kind, code in BLOCK.findall(text) if kind == "setup"]
    return setup, [(name, *BLOCK.search(body).groups()) for name, body in SECTION.findall(text)]


def page():
    "The whole page; a public name without a section ends the build."
    text = SOURCE.read_text(encoding="utf-8")
    there = {name for name, _ in SECTION.findall(text)}
    wanted = {*ggml_nb.__all__, *(f"ggml-nb {name}" for name in commands.commands)}
    if there != wanted:
        missing, gone = sorted(wanted - there), sorted(there - wanted)
        raise ValueError(f"docs/reference/api.md: no section for {missing}; sections for what is not there: {gone}")
    seen = set()

    def once(match):
        "What a name is, where it comes first; where it comes again, the example."
        again = match[1] in seen
        seen.add(match[1])
        return f"### {match[1]}: another example\n\n{match[2]}" if again else section(match[1], match[2])

    text = SECTION.sub(once, text)
    return BLOCK.sub(lambda match: f"```{match[1]}\n{match[3]}```\n", text)  # the kind of a block is for the tests


def section(name, example):
    "Heading, what the code says of itself, example."
    if name.startswith("ggml-nb "):
        command = commands.commands[name.removeprefix("ggml-nb ")]
        said = command.get_help(click.Context(command, info_name=name, terminal_width=90, max_content_width=90))
        return f"### {name}\n\n{example.strip()}\n\n```text\n{said}\n```\n\n"
    value = getattr(ggml_nb, name)
    parts = [f"### {name}", described(name, value), "Example:", example.strip()]
    if isinstance(value, type):
        methods = [key for key in names_of_ours(value) if key[0] != "_" and callable(getattr(value, key))]
        parts += [f"**`{name}.{key}`**\n\n{described(f'{name}.{key}', getattr(value, key))}" for key in methods]
    return "\n\n".join(parts) + "\n\n"


def names_of_ours(kind):
    "Names of the members of a class and of its bases in this package, the class's own first."
    bases = [base for base in kind.__mro__ if base.__module__.startswith("ggml_nb.")]
    return dict.fromkeys(key for base in bases for key in vars(base))


def described(name, value):
    "Signature, first sentence, parameters, what is returned, errors."
    if not callable(value):
        return f"A {type(value).__name__}: `{value!r}`"
    doc, _, sections = inspect.cleandoc(value.__doc__ or "").partition("\n\nParameters\n" + "-" * 10 + "\n")
    sections, _, returned = sections.partition("\n\nReturns\n-------\n") if sections else ("", "", "")
    if not returned:
        doc, _, returned = doc.partition("\n\nReturns\n-------\n")
    rows = re.findall(r"^(\w+)(?: : default=(.*))?$(?:\n {4}(.*))?", sections, re.M)
    rows = [(arg, re.sub(r"<function (\w+) at \w+>", r"\1", value), text) for arg, value, text in rows]
    table = "\n".join(f"| `{arg}` | {f'`{value}`' if value else ''} | {escaped(text)} |" for arg, value, text in rows)
    parts = [f"```python\n{name}{signature(value)}\n```", escaped(doc, "\n")]
    if rows:
        parts.append(f"| parameter | default | what it is |\n|---|---|---|\n{table}")
    if returned:
        parts.append(f"*Returns* {escaped(returned.strip())}")
    return "\n\n".join([*parts, *errors(value)])


def escaped(text, lines=" "):
    "Text in Markdown as it stands: the stars, bars and dollars of signatures mean nothing."
    pieces = re.split(r"(`[^`]*`)", lines.join(text.split("\n")))
    clean = [piece if i % 2 else re.sub(r"([*_$<>\[\]{}|])", r"\\\1", piece) for i, piece in enumerate(pieces)]
    return "".join(clean)


def signature(value):
    "Names and defaults, a line each where they are many."
    given = inspect.signature(value)
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in given.parameters.values() if p.name != "self"]
    text = str(given.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    return re.sub(r"<function (\w+) at \w+>", r"\1", "\n    ".join(textwrap.wrap(text, 88)))


def errors(value):
    "What a function and the functions that it calls raise by themselves, with the message; folded."
    start = vars(value).get("__init__") if isinstance(value, type) else inspect.unwrap(value)
    found = raised(start, 2, set()) if inspect.isfunction(start) else []
    lines = [f"- {kind}: {escaped(message)}" for kind, message in dict.fromkeys(found)]
    if not lines:
        return []
    kinds = ", ".join(dict.fromkeys(kind for kind, _ in found))
    return [f"<details><summary>Errors: {kinds}</summary>\n\n" + "\n".join(lines) + "\n\n</details>"]


def raised(function, depth, seen):
    "Pairs of error and message, from the source of a function and of our functions that it calls."
    function = inspect.unwrap(function)
    if function in seen:
        return []
    seen.add(function)
    found = []
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except OSError:  # made by a dataclass
        return []
    tree = ast.parse(source)
    inner = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "ggml_nb" in (node.module or "")]
    late = {part.name: node.module for node in inner for part in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            found.append((ast.unparse(node.exc.func), message(node.exc.args[0])))
        elif isinstance(node, ast.Call) and depth:
            called = inspect.unwrap(of_ours(node.func, function, late))
            if inspect.isfunction(called) and called.__module__.startswith("ggml_nb."):
                found += raised(called, depth - 1, seen)
    return [(kind, text) for kind, text in found if text]


def of_ours(node, function, late):
    "What a call in the source of a function calls: a function it knows or imports, or a method of its own class."
    if isinstance(node, ast.Name) and node.id in late:
        return getattr(importlib.import_module(late[node.id]), node.id)
    if isinstance(node, ast.Name):
        return function.__globals__.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
        home = function.__globals__.get(function.__qualname__.partition(".")[0])
        return getattr(home, node.attr, None) if isinstance(home, type) else None
    return None


def message(node):
    "The text of an error, with dots where a value comes in; nothing where it is made elsewhere."
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""
