"""Finds which installed packages DAG files import, so that the runner can import them once for all tasks.

The files are read as text. No code of a DAG runs here, and a name counts only if it is that of a package that is
installed in the image.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

INSTALLED_IN = ("site-packages", "dist-packages")
MAX_FILES, MAX_FILE_BYTES = 10_000, 1 << 20
MAX_MODULES = 200
# Both forms of the statement, wherever it stands. What looks like one in a text does no harm.
STATEMENT = re.compile(
    rb"^[ \t]*(?:import[ \t]+(?P<modules>[^\n#;]+)"
    rb"|from[ \t]+(?P<module>[A-Za-z_][\w.]*)[ \t]+import[ \t]*(?:\((?P<several>[^)]*)\)|(?P<names>[^\n#;(]+)))",
    re.MULTILINE,
)
NAME = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
COMMENT = re.compile(rb"#[^\n]*")


@dataclass(frozen=True, kw_only=True)
class Import:
    """Imports `module`, and looks up `names` in it: each may be a module of its own, or be made at its first use."""

    module: str
    names: tuple[str, ...]

    def __call__(self) -> None:
        """Do so, as a DAG file would. Raises whatever the package raises."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the DAG processor shows them to the file's author
            found = importlib.import_module(self.module)
            for name in self.names:
                if not hasattr(found, name):
                    __import__(self.module, fromlist=(name,))


def imports_of(folders: Iterable[Path], *, path: Iterable[str] = ()) -> list[Import]:
    """Return what the Python files below `folders` import of installed packages, what most files import first.

    `path`: the folders of packages, by default those on Python's own path. Raises OSError.
    """
    places = [place for place in (path or sys.path) if Path(place).name in INSTALLED_IN]
    files: Counter[str] = Counter()
    names: defaultdict[str, set[str]] = defaultdict(set)
    is_installed: dict[str, bool] = {}
    for text in _texts(folders):
        of_file = statements(text)
        files.update(of_file.keys())
        for module, imported in of_file.items():
            names[module] |= imported
    found = []
    for module, _ in sorted(files.items(), key=lambda each: (-each[1], each[0])):
        package = module.partition(".")[0]
        if package not in is_installed:
            is_installed[package] = PathFinder.find_spec(package, places) is not None
        if is_installed[package]:
            found.append(Import(module=module, names=tuple(sorted(names[module]))))
    return found[:MAX_MODULES]


def statements(text: bytes) -> Mapping[str, set[str]]:
    """Return the modules that a file imports, and for each the names that it imports from there."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for each in STATEMENT.finditer(text):
        if each["module"] is None:
            for part in each["modules"].split(b","):
                if (name := NAME.match(part.strip())) is not None:
                    found[name[0].decode()] |= set()
        else:
            names = COMMENT.sub(b"", each["several"] or each["names"] or b"")
            parts = (NAME.match(part.strip()) for part in names.split(b","))
            found[each["module"].decode()] |= {name[0].decode() for name in parts if name is not None}
    return found


def _texts(folders: Iterable[Path]) -> Iterator[bytes]:
    count = 0
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                if name.endswith(".py") and count < MAX_FILES:
                    count += 1
                    with (Path(root) / name).open("rb") as file:
                        yield file.read(MAX_FILE_BYTES)
