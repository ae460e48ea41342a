"""Compiles the modules, unless that is done."""

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
CACHE = paths.STATE / "compiled"  # a folder a digest: at most one, that of the last build
# By package: what takes most of a trial's time, and all of the project that these import: C code holds constants and
# layouts of what it imports, so an import that is not listed fails the build. Measured and left out: the peers, bounds
# and generated loads, of which little time is left. A cached_property is computed each time here: mypyc keeps nothing.
MODULES: Mapping[str, tuple[str, ...]] = {
    "functions/autoscaler": (
        *("boots", "decide", "desired", "estimates", "forecast", "memory", "observation", "policy", "reason"),
        *("rollout", "workers"),
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


def main(*, cache: Path = CACHE) -> None:
    """Never fails: who cannot compile simulates all the same."""
    try:
        build(say=lambda line: print(f"bench: {line}", flush=True), cache=cache)
    except BuildError as error:
        print(f"bench: {error}: the simulator runs interpreted, which takes about three times as long")


class BuildError(Exception):
    """Nothing could be compiled; the message says why, in a few words."""


def build(*, say: Callable[[str], object], root: Path = paths.ROOT, cache: Path = CACHE) -> None:
    """The build of the sources below `root`, as the only one in `cache`, with the log of the last one beside it.

    `say` is called only when there is something to do. Who comes while another builds waits for it. Raises BuildError.
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
    """The command of the C compiler, the one that made this Python where it is here. Raises BuildError."""
    for command in (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc"):
        if command and shutil.which(shlex.split(command)[0]):
            break
    else:
        raise BuildError("no C compiler")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise BuildError("no Python.h to compile with")
    return command


def _compile(files: dict[Path, Path], *, folder: Path, compiler: str, log_path: Path) -> Path:
    """The folder, inside of `folder`, of what became of `files`. Raises BuildError."""
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
    for path in (EXTENSIONS, *sources(root)):
        made_from.update(f"{path.name if path == EXTENSIONS else path.relative_to(root)}\n".encode())
        made_from.update(hashlib.sha256(path.read_bytes()).digest())
    return cache / made_from.hexdigest()[:16]


def _mypy() -> str:
    """Its version; where there is none, nothing is built, and nothing used."""
    try:
        return metadata.version("mypy")
    except metadata.PackageNotFoundError:
        return ""
