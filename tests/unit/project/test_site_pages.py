"""Links of the repository's pages, as they are in the documentation's site."""

import pytest

from tools.site_pages import in_repository, in_site


@pytest.mark.parametrize(
    ("place", "written", "read"),
    [
        ("index.md", "[a](docs/scaling.md#boots)", "[a](scaling.md#boots)"),
        ("index.md", "![a](docs/images/demo.png)", "![a](images/demo.png)"),
        ("index.md", '<img src="docs/images/fleet.png">', '<img src="images/fleet.png">'),
        ("index.md", "[the code](stack/render.py), [all](stack)", "the code, all"),
        ("scaling.md", "[a](pools.md) [b](runbook/README.md)", "[a](pools.md) [b](runbook/README.md)"),
        ("scaling.md", "[a](../CHANGELOG.md) [b](../examples/virtualenv.py)", "[a](CHANGELOG.md) b"),
        ("runbook/README.md", "[a](../../README.md) [b](../scaling.md)", "[a](../index.md) [b](../scaling.md)"),
        ("scaling.md", "[a](https://example.com/b.md) [c](#here)", "[a](https://example.com/b.md) [c](#here)"),
    ],
)
def test_a_link_leads_to_where_the_page_is_in_the_site(place: str, written: str, read: str) -> None:
    """Links to what the site does not have become text."""
    assert in_site(written, place=place, path=in_repository(place)) == read
