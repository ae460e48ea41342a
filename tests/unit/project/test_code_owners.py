"""CODEOWNERS names owners for paths that exist, and for all of them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE_OWNERS = ROOT / ".github" / "CODEOWNERS"
OWNER = re.compile(r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)?|[^@\s]+@[^@\s]+\.[a-z]+")
# Folders end with a slash, and there are no wildcards: a pattern that matches nothing is seen at once.
PATTERN = re.compile(r"\*|(?:/[A-Za-z0-9_.-]+)+/?")


def wrong(text: str, root: Path) -> list[str]:
    """Return the lines that GitHub would pass over, that name no path, or that come too early to count."""
    rules = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [] if rules and rules[0][0] == "*" else ["the first line is not for *"]
    for pattern, *owners in rules:
        path = root / pattern.strip("/")
        exists = pattern == "*" or (path.is_dir() if pattern.endswith("/") else path.is_file())
        if not (PATTERN.fullmatch(pattern) and owners and all(OWNER.fullmatch(owner) for owner in owners) and exists):
            found.append(" ".join([pattern, *owners]))
    patterns = [pattern for pattern, *_ in rules]
    return found + [later for at, later in enumerate(patterns) if later in patterns[:at]]


def test_every_line_is_valid_and_its_path_exists() -> None:
    assert wrong(CODE_OWNERS.read_text(), ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "/stock/ @a/b",
        "/Makefile/ @a/b",
        "/stack @a/b",
        "/stack/",
        "/stack/ a/b",
        "/stack/ @a/b @",
        "stack/** @a/b",
        "* @a/b",
    ],
)
def test_a_wrong_line_is_found(line: str) -> None:
    assert wrong(f"* @a/b\n{line}\n", ROOT)


@pytest.mark.parametrize("text", ["", "/stack/ @a/b\n"])
def test_paths_without_an_owner_are_found(text: str) -> None:
    assert wrong(text, ROOT)


def test_owners_may_be_people_teams_and_addresses() -> None:
    assert wrong("* @someone @some-org/a.team_1 someone@example.com\n", ROOT) == []
