"""What the pages name must be there: links, headings, commands."""

import importlib.util
import re
from pathlib import Path

import pytest

from tests.support.documents import PAGES, ROOT, Page, parse, read

MAKE = re.compile(r"(?:^|[\s;&`(])make ([a-z][a-z-]*)")
MODULE = re.compile(r"python -m ([a-z_][a-z_.]*)")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def _targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def _named(pattern: re.Pattern[str], page: Page) -> set[str]:
    return {name for code in page.code for name in pattern.findall(code)}


def _broken_links(page: Page) -> list[str]:
    return [link for link in page.links if "://" not in link and not link.startswith("mailto:") and not _is(page, link)]


def _is(page: Page, link: str) -> bool:
    """Whether a link leads to a file of the checkout, and to a heading of it if it names one."""
    name, _, anchor = link.partition("#")
    target = (page.path.parent / name).resolve() if name else page.path
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in (page.anchors if target == page.path else read(target).anchors)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
class TestPage:
    def test_links_lead_to_files_and_headings_that_exist(self, path: Path) -> None:
        assert _broken_links(read(path)) == []

    def test_names_only_commands_of_the_makefile(self, path: Path) -> None:
        assert _named(MAKE, read(path)) <= _targets()

    def test_names_only_modules_that_can_be_run(self, path: Path) -> None:
        modules = _named(MODULE, read(path))
        assert {name for name in modules if importlib.util.find_spec(name) is None} == set()


def test_each_page_can_be_reached_from_the_readme() -> None:
    reached, left = set(), [ROOT / "README.md"]
    while left:
        page = read(left.pop())
        reached.add(page.path)
        there = {(page.path.parent / link.partition("#")[0]).resolve() for link in page.links if "://" not in link}
        left += [path for path in there - reached if path.suffix == ".md"]
    assert set(PAGES) <= reached


def test_a_link_to_a_heading_that_is_not_there_is_broken() -> None:
    page = parse("# Adding DAGs\n\n[a](#adding-dags) [b](#adding) [c](no.md)", path=ROOT / "README.md")
    assert _broken_links(page) == ["#adding", "no.md"]


def test_a_command_is_found_in_a_span_and_in_a_block() -> None:
    page = parse("`make one ENV=dev`, then\n\n```sh\ncd x && make two\n```\nand make three", path=ROOT / "README.md")
    assert _named(MAKE, page) == {"one", "two"}
