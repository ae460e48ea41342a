"""Puts the compiled modules in the place of their sources, for this process and those that it forks."""

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
    """Whether there is a build of the sources as they are now; without one nothing changes.

    To be called before any of the modules is imported: one that is there already stays as it is.
    """
    folder = built(root=root, cache=cache)
    if not folder.is_dir():
        return False
    sys.path.append(str(folder))  # for the library that all of the modules share
    for package in PACKAGES:
        importlib.import_module(".".join(package.parts)).__path__.insert(0, str(folder / package))
    _let_outcomes_travel()
    return True


def _let_outcomes_travel() -> None:
    """From the processes that simulate: mypyc's frozen dataclasses refuse to be unpickled the usual way."""
    from bench.sim.metrics import Figures
    from bench.sim.trial import Outcome

    for kind in (Figures, Outcome):
        copyreg.pickle(kind, _reduced)


def _reduced(record: Any) -> tuple[Callable[[], Any], tuple[()]]:
    kind: Callable[..., Any] = type(record)
    return partial(kind, **{field.name: getattr(record, field.name) for field in fields(record)}), ()
