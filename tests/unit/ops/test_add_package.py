"""A package is required and locked together, or not at all."""

from pathlib import Path

import pytest

from ops.image.add_package import add
from project.errors import CommandError


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "requirements.in").write_text("# packages\nflower\n")
    (tmp_path / "requirements.txt").write_text("flower==2\n")
    return tmp_path


def test_a_package_is_required_and_locked(image: Path) -> None:
    add("polars<2", as_of="2026-10-25", image=image, lock=lambda day, _, locked: _write(locked, f"polars of {day}"))
    assert (image / "requirements.in").read_text() == "# packages\nflower\npolars<2\n"
    assert (image / "requirements.txt").read_text() == "polars of 2026-10-25"


def test_one_that_cannot_be_locked_changes_nothing(image: Path) -> None:
    def fail(_day: str, _required: Path, locked: Path) -> None:
        locked.write_text("half")
        raise CommandError("no such package")

    with pytest.raises(CommandError, match="no such package"):
        add("polarz", as_of="2026-10-25", image=image, lock=fail)
    assert (image / "requirements.in").read_text() == "# packages\nflower\n"
    assert (image / "requirements.txt").read_text() == "flower==2\n"


def test_one_that_is_required_already_is_not_added_again(image: Path) -> None:
    add("flower", as_of="2026-10-25", image=image, lock=lambda *_: pytest.fail("nothing to lock"))
    assert (image / "requirements.in").read_text() == "# packages\nflower\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text)
