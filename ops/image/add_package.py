"""Adds a package to the image: writes it into requirements.in, renews the lock, and takes both back if that fails."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from project import paths
from project.errors import CommandError

LOCKED = "airflow_image/requirements.txt"
NEXT = "`make deploy-local` brings it to the running stack, `make image` into the image"

Lock = Callable[[str, Path, Path], None]  # newest day of a release, what is required, the lock


def lock(as_of: str, required: Path, locked: Path) -> None:
    """Renew the lock with the releases until that day. Raises CommandError."""
    source, target = (os.path.relpath(path, paths.ROOT) for path in (required, locked))
    command = [sys.executable, "tools/command.py", "lock", "--exclude-newer", as_of, source, "-o", target]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise CommandError(" ".join(said[-6:]) or f"exit code {done.returncode}")


def add(package: str, *, as_of: str, image: Path = paths.IMAGE_SOURCE, lock: Lock = lock) -> None:
    """Require the package, and lock it with all that it needs. Raises CommandError, and then nothing has changed."""
    required, locked = image / "requirements.in", image / "requirements.txt"
    before = required.read_text(), locked.read_text()
    if package in before[0].splitlines():
        return
    required.write_text(f"{before[0].rstrip()}\n{package}\n")
    try:
        lock(as_of, required, locked)
    except BaseException:
        required.write_text(before[0])
        locked.write_text(before[1])
        raise


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="add-package", description=__doc__)
    parser.add_argument("package", help="as in a requirements file, such as polars==1.2")
    parser.add_argument("--as-of", required=True, help="no release after this day is taken")
    options = parser.parse_args(arguments)
    try:
        add(options.package, as_of=options.as_of)
    except CommandError as error:
        print(f"add-package: {options.package} was not added: {error}", file=sys.stderr)
        return 1
    print(f"{options.package} is in {LOCKED}; {NEXT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
