"""Spells out what mypyc compiles only when it is told, and Python need not be.

- An `__init__` that `@dataclass` makes is made by Python when the module is imported, and stays Python: measured, a
  third of what a trial executed.
- A module's constant is looked up by its name whenever it is used, unless it is Final: a tenth of the rest.
"""

from __future__ import annotations

import ast
import re

DATACLASS = "@dataclass(frozen=True, kw_only=True)"
WITHOUT_INIT = "@dataclass(frozen=True, kw_only=True, init=False)"
CONSTANT = re.compile(r"^([A-Z][A-Z0-9_]*) = ", re.MULTILINE)


def spelled_out(source: str) -> str:
    """A module of the same meaning; dataclasses of other kinds than DATACLASS stay as they are. Raises SyntaxError."""
    return _with_final(_with_inits(source))


def _with_final(source: str) -> str:
    first = CONSTANT.search(source)
    if first is None:
        return source
    before, rest = source[: first.start()], source[first.start() :]
    return before + "from typing import Final\n" + CONSTANT.sub(r"\1: Final = ", rest)


def _with_inits(source: str) -> str:
    lines = source.splitlines(keepends=True)
    for kind in reversed([node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]):
        fields = [node for node in kind.body if isinstance(node, ast.AnnAssign)]
        decorator = kind.lineno - 2
        if not kind.decorator_list or not fields or lines[decorator].rstrip() != DATACLASS:
            continue
        end = fields[-1].end_lineno
        lines[end:end] = _init(fields)
        lines[decorator] = f"{WITHOUT_INIT}\n"
    return "".join(lines)


def _init(fields: list[ast.AnnAssign]) -> list[str]:
    """The method's lines. mypy does not let a frozen class set its fields; compiled code may."""
    parameters, assignments = [], []
    for field in fields:
        name, kind = ast.unparse(field.target), ast.unparse(field.annotation)
        default, factory = _default(field.value), _default_factory(field.value)
        if factory is not None:
            kind, default = f"{kind} | None", " = None"
        value = name if factory is None else f"{factory}() if {name} is None else {name}"
        parameters.append(f"{name}: {kind}{default}")
        assignments.append(f"        self.{name} = {value}  # type: ignore[misc]\n")
    return ["\n", f"    def __init__(self, *, {', '.join(parameters)}) -> None:\n", *assignments]


def _default(value: ast.expr | None) -> str:
    return "" if value is None or _is_field(value) else f" = {ast.unparse(value)}"


def _default_factory(value: ast.expr | None) -> str | None:
    if not isinstance(value, ast.Call) or not _is_field(value):
        return None
    return next((ast.unparse(word.value) for word in value.keywords if word.arg == "default_factory"), None)


def _is_field(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "field"
