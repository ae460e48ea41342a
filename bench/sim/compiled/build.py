"""Compiles the modules, unless that is done."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.sim.compiled.modules import CACHE, EXTENSIONS, PACKAGES, built, sources
from bench.sim.compiled.spelling_out import spelled_out
from project import paths

LOG = "build.log"


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
        try:
            (folder / place).write_text(spelled_out(source.read_text()))
        except SyntaxError as error:
            raise BuildError(f"{place} is no Python: {error}") from None
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
