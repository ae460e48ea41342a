"""The resource types that the embedded AWS API can create, one module for each service."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from local.aws.resources.kind import Kind


def kinds() -> Mapping[str, Kind]:
    """Return every type of this package's modules by its name. Raises ValueError when two modules define one."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for kind in getattr(import_module(module.name), "KINDS", ()):
            if kind.type in found:
                raise ValueError(f"two modules define {kind.type}")
            found[kind.type] = kind
    return found
