"""`make help` lists the Makefile's commands in groups, and fits a terminal of 100 columns."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import help as listing

MAKEFILE = (Path(__file__).parents[3] / "Makefile").read_text()
UNLISTED = {
    "setup-dev",
    "setup-local",
    "setup-bench",
    "setup-docs",
    "versions-asked",
    "compiled",
}  # parts of other commands


def test_lists_each_command_once_and_within_its_width() -> None:
    (targets,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    shown = list(listing.lines(MAKEFILE))
    names = [line.split()[0] for line in shown if re.match(r"  [a-z]", line)]
    assert sorted(names) == sorted(set(targets.split()) - UNLISTED)
    assert max(map(len, shown)) <= listing.WIDTH


def test_a_title_begins_a_group() -> None:
    makefile = "one: ## the first\n##@ Second group\ntwo: one ## the second (ENV=prd)\n"
    assert list(listing.lines(makefile)) == [
        "  one              the first",
        "",
        "Second group",
        "  two              the second (ENV=prd)",
    ]


def test_what_a_caller_may_set_stands_together_below_a_long_line() -> None:
    text = "x" * 75
    assert list(listing.lines(f"one: ## {text} (ENV=prd WAIT=60)\n")) == [
        f"  one              {text}",
        "                   (ENV=prd WAIT=60)",
    ]


def test_a_name_wider_than_its_column_is_refused() -> None:
    with pytest.raises(ValueError, match="a-very-long-command is longer than 16 characters"):
        list(listing.lines("a-very-long-command: ## does it\n"))


def test_runs_without_any_package() -> None:
    printed = subprocess.run(
        [sys.executable, "-I", "-S", listing.__file__], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert printed.startswith("make COMMAND [VARIABLE=value ...]\n")


def test_the_page_of_commands_is_current() -> None:
    committed = Path(__file__).parents[3] / "docs/commands.md"
    assert committed.read_text() == listing.page(MAKEFILE), "run make template and commit the result"


def test_a_command_of_the_page_has_its_group_and_its_variables() -> None:
    written = listing.page("##@ One\nup: x ## bring it up (KEEP=1)\ndown: ## end it (slow)\n")
    assert written.endswith(
        "## One\n\n| command | what it does | variables, notes |\n|---|---|---|\n"
        "| `make up` | bring it up | `KEEP=1` |\n| `make down` | end it | slow |\n"
    )
