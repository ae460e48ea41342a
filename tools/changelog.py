#!/usr/bin/env python3
"""Read CHANGELOG.md: check its form, print a release's notes, turn what is unreleased into a release.

A section is `## Unreleased`, which stands first if it is there, or `## 1.2.3 - 2026-12-01`, newest first. The version
in pyproject.toml is that of the newest release. Standard library only.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG, PROJECT = "CHANGELOG.md", "pyproject.toml"
UNRELEASED = "Unreleased"
NUMBER = r"(?:0|[1-9]\d*)"
VERSION = re.compile(rf"{NUMBER}\.{NUMBER}\.{NUMBER}")
HEADING = re.compile(rf"## (?:{UNRELEASED}|(?P<version>{VERSION.pattern}) - (?P<date>\d{{4}}-\d\d-\d\d))")
STATED = re.compile(r'^version = "([^"\n]*)"$', re.MULTILINE)
REMOVED = "### Removed"


class BadChangelog(ValueError):
    """The changelog or the version does not have its form. The message is one line."""


@dataclass(frozen=True)
class Section:
    """`version` and `date` are empty for what is unreleased; `notes` is the text without the heading."""

    version: str
    date: str
    notes: str

    @property
    def order(self) -> tuple[int, ...]:
        """The version's three numbers."""
        return tuple(int(part) for part in self.version.split("."))


def sections(text: str) -> list[Section]:
    """Return the changelog's sections, newest first. Raises BadChangelog for what breaks the form."""
    head, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    if head.strip() != "# Changelog":
        raise BadChangelog("the first line is # Changelog, and a section follows")
    found = [_section(part) for part in parts]
    for at, section in enumerate(found):
        if not section.version and at:
            raise BadChangelog(f"## {UNRELEASED} stands before all releases, and once")
    releases = [section for section in found if section.version]
    for newer, older in itertools.pairwise(releases):
        if newer.order <= older.order or newer.date < older.date:
            raise BadChangelog(f"{newer.version} of {newer.date} cannot follow {older.version} of {older.date}")
    return found


def _section(part: str) -> Section:
    line, _, notes = part.partition("\n")
    heading = HEADING.fullmatch(line)
    if heading is None:
        raise BadChangelog(f"{line[:80]!r} is neither ## {UNRELEASED} nor like ## 1.2.3 - 2026-12-01")
    version, date = heading["version"] or "", heading["date"] or ""
    try:
        datetime.date.fromisoformat(date or "2026-12-01")
    except ValueError:
        raise BadChangelog(f"{date} is no day of the calendar") from None
    if not re.search(r"^- ", notes, re.MULTILINE):
        raise BadChangelog(f"{line[3:]} lists no change")
    if REMOVED in notes.splitlines() and version and not version.endswith(".0.0"):
        raise BadChangelog(f"{version} removes something: only a release like 2.0.0 may")
    return Section(version, date, notes.strip() + "\n")


def stated_version(project: str) -> str:
    """Return the version in the text of pyproject.toml. Raises BadChangelog when there is not exactly one."""
    found = STATED.findall(project)
    if len(found) != 1:
        raise BadChangelog(f'{PROJECT} has {len(found)} lines like version = "1.2.3"')
    return str(found[0])


def check(root: Path) -> list[Section]:
    """Return the sections of a checkout whose changelog and version agree. Raises BadChangelog, OSError."""
    found = sections((root / CHANGELOG).read_text(encoding="utf-8"))
    newest = next((section.version for section in found if section.version), None)
    stated = stated_version((root / PROJECT).read_text(encoding="utf-8"))
    if newest is not None and newest != stated:
        raise BadChangelog(f"{PROJECT} has the version {stated}, the newest release of {CHANGELOG} is {newest}")
    return found


def notes(root: Path, version: str) -> str:
    """Return the notes of a release, without its heading. Raises BadChangelog when it has none."""
    for section in check(root):
        if section.version == version:
            return section.notes
    raise BadChangelog(f"{CHANGELOG} has no release {version[:40]}")


def cut(root: Path, version: str, date: str) -> None:
    """Make what is unreleased the release of a version and a day (2026-12-01), here and in pyproject.toml.

    Raises BadChangelog, and changes no file then, when nothing is unreleased or the version does not follow.
    """
    if not VERSION.fullmatch(version):
        raise BadChangelog(f"{version[:40]!r} is no version like 1.2.3")
    if check(root)[0].version:
        raise BadChangelog(f"{CHANGELOG} has no ## {UNRELEASED}: there is nothing to release")
    text = (root / CHANGELOG).read_text(encoding="utf-8")
    text = text.replace(f"\n## {UNRELEASED}\n", f"\n## {version} - {date}\n", 1)
    sections(text)
    project = STATED.sub(f'version = "{version}"', (root / PROJECT).read_text(encoding="utf-8"))
    (root / CHANGELOG).write_text(text, encoding="utf-8")
    (root / PROJECT).write_text(project, encoding="utf-8")


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run one of the commands. Return 1 after one line on standard error when the changelog does not allow it."""
    parser = argparse.ArgumentParser(prog="changelog", description="Check, print or cut releases.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check")
    commands.add_parser("notes").add_argument("--version", required=True)
    cutting = commands.add_parser("cut")
    cutting.add_argument("--version", required=True)
    cutting.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    given = parser.parse_args(arguments)
    try:
        if given.command == "cut":
            cut(root, given.version, given.date)
        elif given.command == "notes":
            sys.stdout.write(notes(root, given.version))
        else:
            check(root)
    except (BadChangelog, OSError) as error:
        sys.stderr.write(f"changelog: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
