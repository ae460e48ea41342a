"""A checkout whose programs only record what they are asked, and values that try to run code in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import command

ROOT = Path(__file__).parents[2]
# The environment of a make or a test run above this one.
NOT_INHERITED = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", *command.VARIABLES, "PYTHON")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def hostile(planted: Path) -> list[str]:
    """Return values that create the file where make expands them, a shell reads them, or a shell reads their output."""
    return [
        f"$(shell touch {planted})",
        f"$$(shell touch {planted})",
        f'"; touch {planted}; "',
        f"'; touch {planted}; '",
        f"x; touch {planted}",
        f"`touch {planted}`",
        f"$(touch {planted})",
        f"x\n\ttouch {planted}",
        f"x\n$(shell touch {planted})",
        f"$(eval $(shell touch {planted}))",
        f"x | touch {planted}",
    ]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout whose programs only record their arguments, but for tools/command.py, which runs."""
    root = tmp_path / "checkout"
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", root)
    (root / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "command.py", root / "tools")
    (root / "tools" / "setup_env.py").write_text("")
    record = f"import json, sys; open({str(root / 'asked')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    (root / "record.py").write_text(record)
    python = programs / "python"
    # tools/command.py takes its own interpreter for the commands, so it is told that it is this stub.
    run = f"import sys; sys.executable={str(python)!r}; sys.argv=sys.argv[1:]; import runpy; "
    run += "runpy.run_path(sys.argv[0], run_name='__main__')"
    python.write_text(
        f'#!/bin/sh\nif [ "$1" = tools/command.py ]; then exec {sys.executable} -c "{run}" "$@"; fi\n'
        f'exec {sys.executable} {root}/record.py "$@"\n'
    )
    for name in ("uv", "sam", "ruff", "mypy", "cfn-lint", "zizmor"):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {root}/record.py {name} "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    return root


def make(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(root), *arguments],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def asked(root: Path) -> list[list[str]]:
    """Return what the programs of the checkout were asked."""
    path = root / "asked"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
