"""Runs pytest beside the image's packages: python -P launch_pytest.py SITE_PACKAGES FOLDER.

The image has no pytest. Of the other folder of packages only pytest's own modules are found, so that a DAG that needs
another one fails here as it does in the image.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

MODULES = frozenset(("pytest", "_pytest", "iniconfig", "py"))


class PytestFinder(MetaPathFinder):
    """Finds pytest in a folder of packages."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - Python's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return the spec of a module of pytest."""
        return PathFinder.find_spec(fullname, [self._folder]) if fullname in MODULES else None


def main(site: str, folder: str) -> int:
    """Run the tests of the folder, which comes last on Python's path, as in the DAG processor."""
    sys.meta_path.append(PytestFinder(site))
    sys.path.append(folder)
    import pytest

    # A file queue.py beside a test must not hide the standard library's.
    return int(pytest.main(["-q", "--import-mode=append", "-p", "no:cacheprovider", f"--rootdir={folder}", folder]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
