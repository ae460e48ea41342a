"""Replaces modules by their compiled versions, for this process and those that it forks."""

from __future__ import annotations

import copyreg
import importlib
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from bench.sim.compiled.build import CACHE, PACKAGES, built
from project import paths


def use_compiled(*, root: Path = paths.ROOT, cache: Path = CACHE) -> bool:
    """Use the build of the present sources; return False, and change nothing, if there is none.

    Call it before any of the modules is imported: imported modules stay as they are.
    """
    folder = built(root=root, cache=cache)
    if not folder.is_dir():
        return False
    sys.path.append(str(folder))  # for the library that all compiled modules share
    for package in PACKAGES:
        importlib.import_module(".".join(package.parts)).__path__.insert(0, str(folder / package))
    _let_outcomes_travel()
    return True


def _let_outcomes_travel() -> None:
    """Make outcomes picklable, to return them from other processes: mypyc's frozen dataclasses cannot be unpickled."""
    from bench.sim.metrics import Figures
    from bench.sim.trial import Outcome

    for kind in (Figures, Outcome):
        copyreg.pickle(kind, _reduced)


def _reduced(record: Any) -> tuple[Callable[[], Any], tuple[()]]:
    kind: Callable[..., Any] = type(record)
    return partial(kind, **{field.name: getattr(record, field.name) for field in fields(record)}), ()
