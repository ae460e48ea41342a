"""Compiles the modules that take most of a trial's time, unless their build is up to date."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

from project import paths

LOG = "build.log"
CACHE = paths.STATE / "compiled"  # holds the last build, in a folder named by its digest
# By package: the modules that take most of a trial's time, and all project modules that these import. C code contains
# constants and layouts of what it imports, so an import that is not listed fails the build. The peers, bounds and
# generated loads are left out: they take little time, as measured. mypyc computes a cached_property at every access.
MODULES: Mapping[str, tuple[str, ...]] = {
    "functions/autoscaler": (
        *("boots", "decide", "desired", "estimates", "forecast", "glance", "memory", "observation", "policy"),
        *("racing", "reason", "retirement", "revision", "rollout", "workers"),
    ),
    "fleet": ("bundles", "ends", "forecast", "history", "member", "peaks", "pools", "registry", "validation", "work"),
    "airflow_image/agent": ("variables",),
    "airflow_image/agent/forecaster": ("forecast",),
    "airflow_image/roles": ("errors", "forecaster_settings"),
    "bench/loads": ("load", "schedule", "stages"),
    "bench/sim": ("boots", "clock", "ecs", "forecaster", "metrics", "pool", "registry", "trial", "workers"),
    "bench/policies": ("own_autoscaler", "skipped_ticks"),
}
ON_THE_PATH = ("functions", "airflow_image")  # folders whose packages are top-level packages


def place_of(folder: str) -> Path:
    """Return the path of the package in `folder` as imports name it."""
    first, _, rest = folder.partition("/")
    return Path(rest) if first in ON_THE_PATH else Path(folder)


PACKAGES = tuple(place_of(folder) for folder in MODULES)
EXTENSIONS = Path(__file__).with_name("extensions.py")


def main(*, cache: Path = CACHE) -> None:
    """Build; say so if that is impossible, which is no error: the simulator then runs interpreted."""
    try:
        build(say=lambda line: print(f"bench: {line}", flush=True), cache=cache)
    except BuildError as error:
        print(f"bench: {error}: the simulator runs interpreted, which takes about three times as long")


class BuildError(Exception):
    """Nothing could be compiled. The message says why."""


def build(*, say: Callable[[str], object], root: Path = paths.ROOT, cache: Path = CACHE) -> None:
    """Build the sources below `root` in `cache`, replacing the last build; its log is beside it.

    `say` is called only if there is something to do. While another process builds, this one waits.

    Raises BuildError when there is no compiler, or compiling failed.
    """
    target = built(root=root, cache=cache)
    if target.is_dir():
        return
    compiler = find_compiler()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return
        say("compiling the simulator, which takes about a minute")
        for left in cache.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _compile(sources(root), folder=Path(folder), compiler=compiler, log_path=cache / LOG).rename(target)


def find_compiler() -> str:
    """Return the command of the C compiler, preferably the one that built this Python.

    Raises BuildError when there is no compiler or no Python.h.
    """
    for command in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"):
        if command and shutil.which(shlex.split(command)[0]):
            break
    else:
        raise BuildError("no C compiler")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise BuildError("no Python.h to compile with")
    return command


def _compile(files: dict[Path, Path], *, folder: Path, compiler: str, log_path: Path) -> Path:
    """Compile `files` and return the folder of the results, inside `folder`.

    Raises BuildError when compiling failed.
    """
    for source, place in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / place)
    for package in PACKAGES:
        for part in (package, *package.parents[:-1]):
            (folder / part / "__init__.py").touch()
    command = [sys.executable, "-I", str(EXTENSIONS), "build_ext", "--build-lib", "compiled", "--build-temp", "objects"]
    with log_path.open("w") as log:
        code = subprocess.call(
            command, cwd=folder, env=os.environ | {"CC": compiler}, stdout=log, stderr=subprocess.STDOUT
        )
    if code:
        raise BuildError(f"the build failed, see {log_path}")
    return folder / "compiled"


def sources(root: Path) -> dict[Path, Path]:
    """Return the files to compile, each with its path as imports name it."""
    return {
        root / folder / f"{name}.py": place_of(folder) / f"{name}.py"
        for folder, names in MODULES.items()
        for name in names
    }


def built(*, root: Path = paths.ROOT, cache: Path = CACHE) -> Path:
    """Return the folder of the build of the sources below `root`, which need not exist.

    Its name depends on the sources, on the version of Python and on that of mypy.
    """
    made_from = hashlib.sha256()
    for part in (sys.version, sysconfig.get_config_var("EXT_SUFFIX"), _mypy()):
        made_from.update(f"{part}\n".encode())
    for path in (EXTENSIONS, *sources(root)):
        made_from.update(f"{path.name if path == EXTENSIONS else path.relative_to(root)}\n".encode())
        made_from.update(hashlib.sha256(path.read_bytes()).digest())
    return cache / made_from.hexdigest()[:16]


def _mypy() -> str:
    """Return the version of mypy. Without mypy nothing is built, and no build is used."""
    try:
        return metadata.version("mypy")
    except metadata.PackageNotFoundError:
        return ""
