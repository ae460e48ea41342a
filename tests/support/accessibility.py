"""What axe finds on a page that keeps people from using it."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = {"serious", "critical"}


def serious_faults(page: Page, context: str | None = None) -> list[tuple[str, list[str]]]:
    """Return each serious fault with the markup of its elements. `context`: a selector; None for the whole page."""
    found = Axe().run(page, context=context).response["violations"]
    return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found if fault["impact"] in SERIOUS]
