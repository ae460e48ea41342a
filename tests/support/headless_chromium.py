"""A headless Chromium for tests of pages."""

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from local.ui.chromium import find_chromium


@contextlib.contextmanager
def headless_chromium(*, shown_within_ms: float, untested: str) -> Iterator[Browser]:
    """Yield a browser; skip the test without one, and say what stays `untested`.

    `shown_within_ms`: how long an expectation of a page may take to come true.
    """
    path = find_chromium()
    if path is None:
        pytest.skip(f"NO BROWSER: not tested: {untested}. Install chromium, or run as root where apt-get can")
    expect.set_options(timeout=shown_within_ms)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path)
        yield started
        started.close()
