"""The function's package as `sam build` makes it, and the libraries of the Lambda runtime."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from local.stack import sam
from project import paths
from project.errors import CommandError

FUNCTION = "AutoscalerFunction"
FOLDER = paths.STATE / "bench"
MAKEFILE = paths.ROOT / "functions" / "Makefile"
# The runtime's Python packages that botocore needs.
RUNTIME_PACKAGES = ("botocore", "jmespath", "dateutil", "urllib3")
RUNTIME_MODULES = ("six",)
DATA = "data"  # botocore's descriptions of all AWS services: large, and no code


@dataclass(frozen=True, kw_only=True)
class Package:
    """A built package."""

    python: Path  # the Python that runs it: Lambda's version if the machine has it, else this process's
    version: str
    is_lambdas_python: bool  # whether that is Lambda's version
    folder: Path
    libraries: Path  # the folder of the runtime's libraries

    @property
    def size(self) -> int:
        """The bytes of the unzipped package, which does not contain boto3."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def build() -> Package:
    """Build the package for the Python that will run it.

    Raises CommandError when `sam build` fails; the message has its reason.
    """
    wanted = _from_makefile("runtime")
    found = _from_makefile("runtime-python")
    own = "{}.{}".format(*sys.version_info[:2])
    python, version = (Path(found), wanted) if found else (Path(sys.executable).resolve(), own)
    shutil.rmtree(FOLDER, ignore_errors=True)
    for folder in (FOLDER, paths.TEMPORARY):
        folder.mkdir(parents=True, exist_ok=True)
    # Make reads variables from MAKEFLAGS, which SAM passes on.
    sam.build(FUNCTION, folder=FOLDER / "build", environment={"MAKEFLAGS": f"RUNTIME={version}"}).wait()
    return Package(
        python=python,
        version=version,
        is_lambdas_python=version == wanted,
        folder=FOLDER / "build" / FUNCTION,
        libraries=_libraries(FOLDER / "libraries", python=python),
    )


def _from_makefile(target: str) -> str:
    """Return what the target of functions/Makefile prints, which knows the runtime's version and finds its Python."""
    command = ["make", "--silent", "--no-print-directory", "-f", str(MAKEFILE), target]
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _libraries(target: Path, *, python: Path) -> Path:
    """Copy this environment's botocore and compile it for `python`, as the runtime's is."""
    target.mkdir()
    for name in (*RUNTIME_PACKAGES, *RUNTIME_MODULES):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise CommandError(f"{name} is not installed: run make setup")
        source = Path(spec.origin)
        if name in RUNTIME_MODULES:
            shutil.copy(source, target)
            continue
        shutil.copytree(source.parent, target / name, ignore=shutil.ignore_patterns("__pycache__", DATA, "*.so"))
        if (source.parent / DATA).is_dir():
            (target / name / DATA).symlink_to(source.parent / DATA)
    compiled = subprocess.run([python, "-m", "compileall", "-q", target], capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise CommandError(f"the runtime's libraries could not be compiled: {compiled.stdout.strip()}")
    return target
