"""The function's package as `sam build` makes it, beside what the Lambda runtime brings."""

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
# The part of the runtime's own Python packages that botocore needs.
RUNTIME_PACKAGES = ("botocore", "jmespath", "dateutil", "urllib3")
RUNTIME_MODULES = ("six",)
DATA = "data"  # botocore's descriptions of all AWS services: as large as they are, and no code


@dataclass(frozen=True, kw_only=True)
class Package:
    """`python` runs it: Lambda's version where the machine has one, else this one's. Paths of the two folders."""

    python: Path
    version: str
    is_lambdas_python: bool
    folder: Path
    libraries: Path

    @property
    def size(self) -> int:
        """Bytes of the package, unzipped; boto3 is not in it."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def build() -> Package:
    """Build it anew, for the Python that will run it. Raises CommandError with SAM's reason."""
    wanted = _from_makefile("runtime")
    found = _from_makefile("runtime-python")
    own = "{}.{}".format(*sys.version_info[:2])
    python, version = (Path(found), wanted) if found else (Path(sys.executable).resolve(), own)
    shutil.rmtree(FOLDER, ignore_errors=True)
    for folder in (FOLDER, paths.TEMPORARY):
        folder.mkdir(parents=True, exist_ok=True)
    # Make takes variables from MAKEFLAGS, so that the build is told through SAM too.
    sam.build(FUNCTION, folder=FOLDER / "build", environment={"MAKEFLAGS": f"RUNTIME={version}"}).wait()
    return Package(
        python=python,
        version=version,
        is_lambdas_python=version == wanted,
        folder=FOLDER / "build" / FUNCTION,
        libraries=_libraries(FOLDER / "libraries", python=python),
    )


def _from_makefile(target: str) -> str:
    """What the target prints: the one place that knows the runtime's version and finds a Python of it."""
    command = ["make", "--silent", "--no-print-directory", "-f", str(MAKEFILE), target]
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _libraries(target: Path, *, python: Path) -> Path:
    """botocore of this environment, compiled for `python`, as the runtime's own is."""
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
