"""Render a template in Jinja2's sandbox, made narrower: what a mail's text needs, and nothing that can run or grow for long.

A template may name variables, ask, repeat and set; it calls nothing but `range`. The nodes that are left take time that is
linear in the template and its values, but for loops, whose steps look at the clock. Only this module knows Jinja2, and it is
imported when there is a template to render.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.exceptions import TemplateRuntimeError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from markupsafe import Markup

from .errors import WrongTemplate

LONGEST = 100_000  # characters of what is rendered, and of every value
SECONDS = 1.0
LONGEST_RANGE = 1_000
LONGEST_WHY = 300

DEADLINE = "_deadline"
# None of these makes much of little.
FILTERS = (
    *("capitalize", "count", "d", "default", "e", "escape", "first", "int", "last", "length", "lower", "string", "title"),
    *("trim", "truncate", "upper"),
)
ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Keyword, nodes.List, nodes.Tuple),
    *(nodes.If, nodes.CondExpr, nodes.For, nodes.Assign, nodes.Filter, nodes.Test, nodes.Call, nodes.Getattr, nodes.Getitem),
    *(nodes.Slice, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Concat, nodes.Add, nodes.Sub),
)


def render(source: str, values: Mapping[str, Any], file: str, is_html: bool = False) -> str:
    """Render a template's source; in HTML every value that is no markup is escaped.

    Raises:
        WrongTemplate: with the line, for whatever is wrong in it: syntax, an unknown name, too long, running too long.
    """
    try:
        deadline = time.monotonic() + SECONDS
        pieces = _compiled(source, file, is_html).generate({**values, DEADLINE: deadline})
        return "".join(_bounded(pieces, deadline))
    except Exception as error:  # Python's compiler and Jinja2's have many ways to say no
        raise WrongTemplate(file, _line(error, file), _why(error)) from error


def _bounded(pieces: Iterable[str], deadline: float) -> Iterator[str]:
    left = LONGEST
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise TemplateRuntimeError(f"what it makes is longer than {LONGEST} characters")
        _look_at(deadline)
        yield piece


def _look_at(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TemplateRuntimeError(f"it runs for longer than {SECONDS:g} seconds")


def _line(error: BaseException, file: str) -> int:
    """Return the line of the template in which something went wrong; 0: nobody knows."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = 0, error.__traceback__
    while trace:  # Jinja2 puts the template's own lines into the traceback
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _why(error: BaseException) -> str:
    said = (error.message if isinstance(error, TemplateSyntaxError) else str(error)) or type(error).__name__
    return " ".join(said.split())[:LONGEST_WHY].rstrip(".")


# -- what a template may do ------------------------------------------------------------------------------------------


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox with nothing in it but our few filters, and a `+` that looks at what it makes."""

    intercepted_binops = frozenset({"+"})

    def __init__(self, is_html: bool) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=is_html, trim_blocks=True, lstrip_blocks=True, finalize=_only_text)
        self.globals = {"range": _range}
        self.filters = {name: self.filters[name] for name in FILTERS} | {"_steps": _steps, "_joined": _joined}

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return _joined([left, right]) if isinstance(left, str) and isinstance(right, str) else left + right


def _only_text(value: Any) -> Any:
    if isinstance(value, str | int | float | Undefined):
        return value
    raise TemplateRuntimeError(f"only texts and numbers can be written, and this is a {type(value).__name__}")


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > LONGEST_RANGE:
        raise TemplateRuntimeError(f"a range of more than {LONGEST_RANGE} is too long")
    return numbers


@pass_context
def _steps(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    """Go through what a loop goes through, with an eye on the clock."""
    for item in items:
        _look_at(context[DEADLINE])
        yield item


def _joined(items: Sequence[Any]) -> str:
    texts = [item if isinstance(item, Markup) else str(_only_text(item)) for item in items]
    if sum(map(len, texts)) > LONGEST:
        raise TemplateRuntimeError(f"a text longer than {LONGEST} characters is too long")
    return Markup("").join(texts) if any(isinstance(text, Markup) for text in texts) else "".join(texts)


class _Bounds(NodeTransformer):
    """Refuse what has no bound, and put our own steps and joints where Jinja2's have none."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if type(node) not in ALLOWED:
            raise _refused(node, f"`{type(node).__name__.lower()}` is not for templates of mails")
        return super().generic_visit(node, *args, **kwargs)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        if not isinstance(node.node, nodes.Name) or node.node.name != "range":
            raise _refused(node, "nothing but `range` can be called")
        return self.generic_visit(node)

    def visit_List(self, node: nodes.List) -> nodes.Node:
        if not all(isinstance(item, nodes.Const) for item in node.items):
            raise _refused(node, "a list can hold only constants")
        return node

    visit_Tuple = visit_List

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            raise _refused(node, "a loop cannot be recursive")
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_steps")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_joined")


def _refused(node: nodes.Node, why: str) -> TemplateSyntaxError:
    return TemplateSyntaxError(why, node.lineno)


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


@cache
def _environment(is_html: bool) -> _Sandbox:
    return _Sandbox(is_html)


@lru_cache(maxsize=64)
def _compiled(source: str, file: str, is_html: bool) -> Template:
    environment = _environment(is_html)
    tree = _Bounds().visit(environment.parse(source, file, file)).set_environment(environment)
    code = environment.compile(tree, file, file)
    return environment.template_class.from_code(environment, code, dict(environment.globals))
