"""Which modules are compiled, and what the result depends on."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from project import paths

CACHE = paths.STATE / "compiled"  # a folder a digest: at most one, that of the last build
# By package: what takes most of a trial's time, and all of the project that these import: C code holds constants and
# layouts of what it imports, so an import that is not listed fails the build. Measured and left out: the peers, bounds
# and generated loads, of which little time is left. A cached_property is computed each time here: mypyc keeps nothing.
MODULES: Mapping[str, tuple[str, ...]] = {
    "functions/autoscaler": (
        *("boots", "crew", "decide", "demand", "forewarning", "launching", "lowering", "memory", "observation", "pace"),
        *("packing", "plan", "policy", "raising", "reason", "releases", "rollout", "waits"),
    ),
    "fleet": ("forecast", "history", "member", "pools", "registry", "texts", "validation"),
    "airflow_image/agent": ("forecast", "names"),
    "airflow_image/roles": ("errors", "forecasting"),
    "bench/loads": ("load", "schedule", "stages"),
    "bench/sim": ("boots", "clock", "ecs", "forecaster", "metrics", "pool", "registry", "trial", "workers"),
    "bench/policies": ("own_autoscaler", "skipped_ticks"),
}
ON_THE_PATH = ("functions", "airflow_image")  # folders whose packages are imported without them


def place_of(folder: str) -> Path:
    """Where the package in `folder` lies among the others: as its imports name it."""
    first, _, rest = folder.partition("/")
    return Path(rest) if first in ON_THE_PATH else Path(folder)


PACKAGES = tuple(place_of(folder) for folder in MODULES)
EXTENSIONS = Path(__file__).with_name("extensions.py")
HOW = (EXTENSIONS, Path(__file__).with_name("spelling_out.py"))  # what else the result depends on


def sources(root: Path) -> dict[Path, Path]:
    """The files to compile, each with its place in its package: the packages lie there as they are imported."""
    return {
        root / folder / f"{name}.py": place_of(folder) / f"{name}.py"
        for folder, names in MODULES.items()
        for name in names
    }


def built(*, root: Path = paths.ROOT, cache: Path = CACHE) -> Path:
    """The folder of the build that the sources below `root` ask for, be it there or not.

    A build holds for these very sources, this very Python and this mypy.
    """
    made_from = hashlib.sha256()
    for part in (sys.version, sysconfig.get_config_var("EXT_SUFFIX"), _mypy()):
        made_from.update(f"{part}\n".encode())
    for path in (*HOW, *sources(root)):
        made_from.update(f"{path.relative_to(paths.ROOT if path in HOW else root)}\n".encode())
        made_from.update(hashlib.sha256(path.read_bytes()).digest())
    return cache / made_from.hexdigest()[:16]


def _mypy() -> str:
    """Its version; where there is none, nothing is built, and nothing used."""
    try:
        return metadata.version("mypy")
    except metadata.PackageNotFoundError:
        return ""
