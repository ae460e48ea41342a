"""Commands of the documentation that need an AWS account are marked; all others run without one."""

import re
from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT
from tools.help import commands

BLOCK = re.compile(r"^ *```(?:sh|bash|console)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
MARK = "needs an AWS account"
PROGRAMS = r"(?:^|[\s(|])(?:aws|docker push|podman push|docker login|sam deploy|sam pipeline) "
ACCOUNT = re.compile(PROGRAMS, re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z-]+)([^\n#&]*)")
LOCAL = {"cost", "check", "image", "renew-base", "add-package", "package"}  # of the groups for an account
GROUPS = {"A deployed environment", "Images and releases"}
COMMANDS = commands((ROOT / "Makefile").read_text())
THERE = {command.name for command in COMMANDS if command.group in GROUPS and command.name not in LOCAL} | {"versions"}


def needs_account(block: str) -> bool:
    """Whether one command of the block reaches AWS; one with ENV=local does not."""
    made = ((name, rest) for name, rest in MAKE.findall(block) if "ENV=local" not in rest)
    return bool(ACCOUNT.search(block)) or any(name in THERE for name, _ in made)


def unmarked(page: str) -> list[str]:
    """Return the first line of each block that needs an account, if neither it nor the page's introduction says so."""
    if MARK in page.partition("\n## ")[0]:
        return []
    needing = (block for block in BLOCK.findall(page) if needs_account(block))
    return [block.splitlines()[0] for block in needing if MARK not in block]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_need_an_account_say_so(path: Path) -> None:
    assert unmarked(path.read_text()) == []


def test_what_needs_an_account_is_known() -> None:
    assert [
        needs_account(block) for block in ("aws s3 ls\n", "make dags ENV=dev\n", "sam build && sam deploy -x\n")
    ] == [True] * 3
    assert [
        needs_account(b) for b in ("make up\n", "make dags ENV=local DAGS=d\n", "make cost ENV=prd\n", "sam build\n")
    ] == [False] * 4
    assert unmarked("# A\n\n```sh\nmake wake ENV=dev\n```\n") == ["make wake ENV=dev"]
    assert {"dags", "wake", "release", "promote"} <= THERE
