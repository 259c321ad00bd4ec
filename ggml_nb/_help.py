"""Parameters in `help`: the comments beside a function's arguments, as a section of its docstring."""

import ast
import inspect
import io
import textwrap
import tokenize


def comments(source):
    "Text of the comment at the end of each line that has one."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def sections(function):
    "Parameters and return value of a function, from its source; nothing where there is no source."
    try:
        source = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return ""
    said, args = comments(source), node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, *filter(None, [args.vararg, args.kwarg])]
    known = inspect.signature(function).parameters
    rows = []
    for arg in (arg for arg in every if arg.arg not in ("self", "cls")):
        default = known[arg.arg].default if arg.arg in known else inspect.Parameter.empty
        value = "" if default is inspect.Parameter.empty else f"default={default!r}"
        rows.append(f"{arg.arg} : {value}".rstrip(" :") + f"\n    {said.get(arg.end_lineno, '')}".rstrip())
    text = "\n".join(["Parameters", "-" * 10, *rows]) if rows else ""
    ends = range(max([arg.end_lineno for arg in every], default=node.lineno), node.body[0].lineno)
    returned = [said[line] for line in ends if line in said and line not in {arg.end_lineno for arg in every}]
    kind = ast.unparse(node.returns) if node.returns else ""
    if kind or returned:
        text += "\n\n" * bool(text) + "\n".join(["Returns", "-" * 7, ": ".join(filter(None, [kind, *returned]))])
    return text


def describe(value):
    "Add the sections to the docstring of a function, or of a class and its public methods, once."
    if isinstance(value, type):
        own = [base for base in value.__mro__ if base.__module__.startswith("ggml_nb.")]
        for name, member in (item for base in own for item in vars(base).items()):
            member = getattr(member, "__func__", member)  # of a class method
            if name[0] != "_" and inspect.isfunction(member):
                describe(member)
        text = sections(vars(value)["__init__"]) if "__init__" in vars(value) else ""
    else:
        text = sections(inspect.unwrap(value))
    if text and "Parameters\n---" not in (value.__doc__ or "") and "Returns\n---" not in (value.__doc__ or ""):
        value.__doc__ = f"{inspect.cleandoc(value.__doc__ or '')}\n\n{text}\n"
