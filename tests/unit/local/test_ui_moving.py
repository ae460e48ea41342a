"""The moving picture of `make demo`, in its text and in a browser."""

import itertools
import re
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Page
from rich.console import Console, Group, RenderableType
from rich.text import Text

from local.ui.moving import Frames, moving_picture
from tests.support.headless_chromium import headless_chromium

SVG = "{http://www.w3.org/2000/svg}"


def saying(*lines: str) -> Callable[[Console], RenderableType]:
    return lambda _: Group(*map(Text, lines))


def test_frames_are_even_in_time_and_limited() -> None:
    frames = Frames(every_s=1.0, most=4)
    drawn = [saying(str(second)) for second in range(40)]
    for second, draw in enumerate(drawn):
        frames.add(draw, now=100.0 + second)
        frames.add(draw, now=100.5 + second)  # too young
    kept = [drawn.index(draw) for draw in frames.draws]
    assert kept[0] == 0
    assert len(kept) <= 4
    assert len({after - before for before, after in itertools.pairwise(kept)}) == 1
    assert kept[-1] >= 20


def test_each_frame_is_in_the_picture_with_styles_of_its_own_and_loads_nothing() -> None:
    text = moving_picture([saying("first"), saying("second", "line")], still=saying("peak"), title="make demo")
    assert "url(http" not in text
    groups = ElementTree.fromstring(text).findall(f"{SVG}g")  # noqa: S314 - written by this test
    said = ["".join(group.itertext()) for group in groups]
    assert [word in one for word, one in zip(("first", "second", "peak"), said, strict=True)] == [True] * 3
    assert len(set(re.findall(r"\.(f\d)-matrix", text))) == 3
    heights = {re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', one)[1] for one in re.findall(r"<svg[^>]*>", text)}  # type: ignore[index]
    assert len(heights) == 1  # the window keeps its size


def test_a_picture_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a frame"):
        moving_picture([], still=saying("peak"), title="t")


def visible(page: Page) -> list[str]:
    """Return the classes of the groups that are shown."""
    return list(
        page.evaluate(
            "[...document.querySelectorAll('svg > g')].filter(g => g.className.baseVal"
            " && getComputedStyle(g).visibility === 'visible').map(g => g.className.baseVal)"
        )
    )


@pytest.mark.slow
def test_a_browser_shows_one_frame_after_the_other_and_one_still_where_no_motion_is_wanted() -> None:
    text = moving_picture(
        [saying("a"), saying("b"), saying("c")], still=saying("peak"), title="t", frame_s=0.4, last_s=0.4
    )
    with headless_chromium(shown_within_ms=10_000, untested="the moving picture") as browser:
        page = browser.new_page()
        page.set_content(text)
        seen: list[str] = []
        for _ in range(200):
            (shown,) = visible(page) or [""]
            if shown and shown not in seen[-1:]:
                seen.append(shown)
            if len(seen) == 5:
                break
            page.wait_for_timeout(30)
        begin = seen.index("frame0")
        assert seen[begin : begin + 3] in (["frame0", "frame1", "frame2"], ["frame0", "frame1"])
        assert {"frame0", "frame1", "frame2"} == set(seen)
        still = browser.new_page(reduced_motion="reduce")
        still.set_content(text)
        assert visible(still) == ["still"]
