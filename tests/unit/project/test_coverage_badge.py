"""The badge of the coverage shows what was measured, within a point."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tools import coverage_badge
from tools.coverage_badge import COLORS, badge, is_current


def report(folder: Path, percent: Any, *, branch: Any = True) -> Path:
    path = folder / "coverage.json"
    path.write_text(json.dumps({"meta": {"branch_coverage": branch}, "totals": {"percent_covered": percent}}))
    return path


@pytest.mark.parametrize("percent", [88.0, 88.9, 87.0, 89.99])
def test_a_badge_within_a_point_is_current(percent: float) -> None:
    assert is_current(badge(88.4), percent)


@pytest.mark.parametrize("percent", [86.99, 90.0, 0.0, 100.0])
def test_a_badge_further_away_is_stale(percent: float) -> None:
    assert not is_current(badge(88.4), percent)


@pytest.mark.parametrize(
    "text", ["", badge(88).replace("<text x", "<text  x", 1), badge(88).replace(">88%</text>", ">99%</text>")]
)
def test_a_badge_that_was_changed_by_hand_is_stale(text: str) -> None:
    assert not is_current(text, 88.0)


def test_the_committed_badge_is_one_of_the_tools() -> None:
    shown = coverage_badge.SHOWN.search(coverage_badge.BADGE.read_text())
    assert shown is not None
    assert is_current(coverage_badge.BADGE.read_text(), float(shown[1]))


@pytest.mark.parametrize("percent", [0.0, 69.9, 88.8, 100.0])
def test_a_badge_is_a_picture_that_shows_no_more_than_was_measured(percent: float) -> None:
    texts = [node.text for node in ElementTree.fromstring(badge(percent)).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own
    assert texts == ["branch coverage", f"{int(percent)}%"]


@pytest.mark.parametrize("color", ["#24292f", *(color for _, color in COLORS)])
def test_its_text_holds_the_contrast_of_small_text(color: str) -> None:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    assert 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5


def test_a_stale_badge_is_one_line_and_writing_makes_it_current(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"report": report(tmp_path, 91.26), "picture": tmp_path / "coverage.svg"}
    assert coverage_badge.main([], **paths) == 1  # missing
    paths["picture"].write_text(badge(88.0))
    assert coverage_badge.main([], **paths) == 1
    assert capsys.readouterr().err == 2 * "coverage: coverage.svg does not show 91.3%: run make badge and commit it\n"
    assert coverage_badge.main(["--write"], **paths) == 0
    assert paths["picture"].read_text() == badge(91.26)
    assert coverage_badge.main([], **paths) == 0


@pytest.mark.parametrize("percent", [None, "90", True, -1, 101, float("nan")])
def test_an_error_is_not_a_figure(tmp_path: Path, percent: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage_badge.main(["--write"], report=report(tmp_path, percent), picture=tmp_path / "x.svg") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "x.svg").exists()


def test_coverage_of_lines_alone_is_not_a_figure(tmp_path: Path) -> None:
    path = report(tmp_path, 90.0, branch=False)
    assert coverage_badge.main(["--write"], report=path, picture=tmp_path / "x.svg") == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"totals": 1}'])
def test_a_broken_report_is_not_a_figure(tmp_path: Path, text: str) -> None:
    (tmp_path / "coverage.json").write_text(text)
    assert coverage_badge.main(["--write"], report=tmp_path / "coverage.json", picture=tmp_path / "x.svg") == 1
