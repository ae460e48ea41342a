"""The workflows: what they run exists, nothing they use can be moved under them, and their linters find nothing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
# Of a reference to another workflow of this repository, at the same commit.
OWN = re.compile(r"\./\.github/workflows/[a-z]+\.yml")
TARGET = re.compile(r"\bmake (?:\"\$COMMAND\"|([a-z-]+))")

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job.get("steps", [])


@each_workflow
def test_every_action_is_pinned_to_a_commit_and_says_which_release_that_is(path: Path) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    assert [use for use in used if not PINNED.fullmatch(use) and not OWN.fullmatch(use)] == []


@each_workflow
def test_no_key_is_stored(path: Path) -> None:
    assert "secrets." not in path.read_text()
    assert "aws-access-key-id" not in path.read_text()


@each_workflow
def test_commands_hold_no_expression_that_an_outsider_could_fill(path: Path) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@each_workflow
def test_every_command_of_make_exists(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {name for step in steps(path) for name in TARGET.findall(step.get("run", "")) if name}
    commands = {job["with"]["command"] for job in jobs(path).values() if "command" in job.get("with", {})}
    assert [name for name in named | commands if not re.search(rf"^{name}:", makefile, re.MULTILINE)] == []


def test_a_pipe_fails_with_its_first_command() -> None:
    for path in WORKFLOWS:
        if any("|" in step.get("run", "") for step in steps(path)):
            defaults = yaml.safe_load(path.read_text())["defaults"]
            assert defaults["run"]["shell"] == "bash"  # which GitHub starts with pipefail, if it is named


def test_zizmor_finds_nothing_of_weight() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    options = ["--offline", "--no-progress", "--format", "plain", "--min-severity", "medium"]
    done = subprocess.run([zizmor, *options, *WORKFLOWS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("NO ACTIONLINT: no registry of Python packages has its program. Install it and put it on the PATH")
    done = subprocess.run([actionlint, *WORKFLOWS], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
