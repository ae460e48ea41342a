"""Sources that say more, and mean the same."""

import ast
import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bench.sim.compiled.modules import sources
from bench.sim.compiled.spelling_out import DATACLASS, spelled_out
from project.paths import ROOT

SOURCE = '''"""A module."""

from __future__ import annotations

from dataclasses import dataclass, field

LIMIT, REST = 3, 4
MOST = 5  # of them
NAMES = """
MOST is a name
"""
count = 6


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place."""

    name: str
    size: int = MOST
    held: dict[str, int] = field(default_factory=dict)
    seen: tuple[int, ...] = field(compare=False)

    @property
    def twice(self) -> int:
        return 2 * self.size


@dataclass
class Other:
    name: str = "MOST"


class Plain:
    pass
'''


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], ModuleType]]:
    names = []

    def load(name: str, source: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(source)
        names.append(name)
        return importlib.import_module(name)

    monkeypatch.syspath_prepend(tmp_path)
    yield load
    for name in names:
        del sys.modules[name]


@pytest.fixture
def as_it_is(load: Callable[[str, str], ModuleType]) -> ModuleType:
    return load("place_as_it_is", SOURCE)


@pytest.fixture
def spelled(load: Callable[[str, str], ModuleType]) -> ModuleType:
    """Not frozen: only compiled code may set the fields of what is."""
    return load("place_spelled_out", spelled_out(SOURCE).replace("frozen=True, ", ""))


def test_what_is_made_is_the_same(as_it_is: ModuleType, spelled: ModuleType) -> None:
    for words in ({"name": "a", "seen": ()}, {"name": "b", "size": 0, "held": {"x": 1}, "seen": (1, 2)}):
        mine, theirs = spelled.Place(**words), as_it_is.Place(**words)
        assert (repr(mine), mine.twice) == (repr(theirs), theirs.twice)
        assert mine == dataclasses.replace(mine, seen=(3,))
        assert mine != dataclasses.replace(mine, size=9)


def test_a_default_is_made_anew(spelled: ModuleType) -> None:
    first, second = (spelled.Place(name="a", seen=()) for _ in range(2))
    first.held["x"] = 1
    assert second.held == {}


@pytest.mark.parametrize("words", [{}, {"name": "a"}, {"name": "a", "seen": (), "other": 1}])
def test_what_is_missing_or_unknown_is_refused(spelled: ModuleType, words: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        spelled.Place(**words)


def test_constants_are_final_and_nothing_else_is(as_it_is: ModuleType, spelled: ModuleType) -> None:
    assert {name for name, kind in spelled.__annotations__.items() if kind == "Final"} == {"MOST", "NAMES"}
    names = [name for name in vars(as_it_is) if name.isupper() or name == "count"]
    assert {name: vars(spelled)[name] for name in names} == {name: vars(as_it_is)[name] for name in names}


def test_other_classes_stay_as_they_are(as_it_is: ModuleType, spelled: ModuleType) -> None:
    assert inspect.signature(spelled.Other) == inspect.signature(as_it_is.Other)
    assert "class Plain:\n    pass\n" in spelled_out(SOURCE)


def test_no_class_that_is_compiled_is_left_to_the_interpreter() -> None:
    for path in sources(ROOT):
        source = path.read_text()
        assert source.count("@dataclass") == source.count(f"{DATACLASS}\n"), path
        spelled = ast.parse(spelled_out(source))
        for kind in [node for node in ast.walk(spelled) if isinstance(node, ast.ClassDef)]:
            if kind.decorator_list:
                assert any(isinstance(node, ast.FunctionDef) and node.name == "__init__" for node in kind.body), path


def test_a_module_without_either_stays_as_it_is() -> None:
    assert spelled_out("count = 1\n") == "count = 1\n"
