"""The changelog has a section for each release, and a release is cut from it."""

import os
import subprocess
from pathlib import Path

import pytest

from tools import changelog
from tools.changelog import BadChangelog

ROOT = Path(__file__).parents[3]
TEXT = """# Changelog

## Unreleased

- New.

## 1.2.0 - 2026-03-01

### Pools

- Old.

## 1.1.9 - 2026-03-01

- Older.
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text(TEXT)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.2.0"\nrequires-python = ">=3.11"\n')
    return tmp_path


def test_the_checkouts_changelog_has_its_form_and_its_version() -> None:
    found = changelog.check(ROOT)
    assert found[-1].version == "1.0.0"


def test_each_tag_of_the_checkout_has_its_notes() -> None:
    listed = subprocess.run(["git", "tag", "--list", "v*"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a checkout of git")
    for tag in listed.stdout.split():
        assert changelog.notes(ROOT, tag.removeprefix("v")), tag


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("# Changelog\n", "# Changes\n", "# Changelog"),
        ("## 1.2.0 - 2026-03-01", "## 1.2.0", "'## 1.2.0' is neither"),
        ("## 1.2.0 - 2026-03-01", "## v1.2.0 - 2026-03-01", "neither"),
        ("## 1.2.0 - 2026-03-01", "## 1.02.0 - 2026-03-01", "neither"),
        ("## 1.2.0 - 2026-03-01", "## 1.2.0 - 2026-02-30", "2026-02-30 is no day"),
        ("## 1.2.0 - 2026-03-01", "## 1.2.0 - 2026-02-28", "1.2.0 of 2026-02-28 cannot follow"),
        ("## 1.2.0 - 2026-03-01", "## 1.1.9 - 2026-03-02", "cannot follow"),
        (
            "## 1.2.0 - 2026-03-01",
            "## 1.1.10 - 2026-03-02",
            "version 1.2.0, the newest release of CHANGELOG.md is 1.1.10",
        ),
        ("## 1.2.0 - 2026-03-01", "## Unreleased", "stands before all releases, and once"),
        ("- New.", "New.", "Unreleased lists no change"),
        ("### Pools", "### Removed", "1.2.0 removes something"),
    ],
)
def test_what_breaks_the_form_is_named(root: Path, old: str, new: str, said: str) -> None:
    assert TEXT.count(old) == 1
    (root / "CHANGELOG.md").write_text(TEXT.replace(old, new))
    with pytest.raises(BadChangelog, match=r"^[^\n]+$") as error:
        changelog.check(root)
    assert said in str(error.value)


def test_a_major_release_may_remove(root: Path) -> None:
    text = "# Changelog\n\n## 2.0.0 - 2026-05-01\n\n### Removed\n\n- A parameter.\n"
    assert [section.order for section in changelog.sections(text)] == [(2, 0, 0)]


@pytest.mark.parametrize("project", ["", 'version = "1.2.0"\nversion = "1.2.0"\n'])
def test_one_version_is_stated(root: Path, project: str) -> None:
    (root / "pyproject.toml").write_text(project)
    with pytest.raises(BadChangelog, match=r"pyproject.toml has [02] lines"):
        changelog.check(root)


class TestCut:
    def test_makes_a_release_of_what_is_unreleased(self, root: Path) -> None:
        changelog.cut(root, "1.3.0", "2026-04-01")
        assert (root / "CHANGELOG.md").read_text() == TEXT.replace("Unreleased", "1.3.0 - 2026-04-01")
        assert changelog.stated_version((root / "pyproject.toml").read_text()) == "1.3.0"
        assert changelog.notes(root, "1.3.0") == "- New.\n"
        with pytest.raises(BadChangelog, match="nothing to release"):
            changelog.cut(root, "1.4.0", "2026-04-01")

    @pytest.mark.parametrize(
        ("version", "date"),
        [
            ("1.2.0", "2026-04-01"),  # exists
            ("1.1.99", "2026-04-01"),  # is older
            ("1.3.0", "2026-02-01"),  # the day is before that of 1.2.0
            ("1.3.0", "tomorrow"),
            ("1.3", "2026-04-01"),
            ("v1.3.0", "2026-04-01"),
            ("1.3.0\n## 9.9.9", "2026-04-01"),
        ],
    )
    def test_refuses_what_does_not_follow_and_changes_nothing(self, root: Path, version: str, date: str) -> None:
        before = {path: path.read_text() for path in root.iterdir()}
        with pytest.raises(BadChangelog, match=r"^[^\n]+$"):
            changelog.cut(root, version, date)
        assert {path: path.read_text() for path in root.iterdir()} == before


def test_a_refusal_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert changelog.main(["notes", "--version", "9.9.9"], root) == 1
    assert capsys.readouterr() == ("", "changelog: CHANGELOG.md has no release 9.9.9\n")
    (root / "CHANGELOG.md").unlink()
    assert changelog.main(["check"], root) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_documented_commands_put_the_notes_into_a_tag(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = (ROOT / "CONTRIBUTING.md").read_text()
    assert "git tag -a v1.1.0 --cleanup=whitespace -F -" in said
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }

    def git(*words: str, given: str | None = None) -> str:
        done = subprocess.run(
            ["git", *words], cwd=root, env=environment, input=given, capture_output=True, text=True, check=True
        )
        return done.stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "Release")
    assert changelog.main(["notes", "--version", "1.2.0"], root) == 0
    git("tag", "-a", "v1.2.0", "--cleanup=whitespace", "-F", "-", given=capsys.readouterr().out)
    # Without --cleanup, git would take the line that begins with # for a comment.
    assert git("tag", "--list", "--format=%(contents)", "v1.2.0").strip() == "### Pools\n\n- Old."
