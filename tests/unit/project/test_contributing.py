"""What CONTRIBUTING.md points a newcomer to is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_files_in_which_to_change_what_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text.partition("## Where to change what")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| a ") or line.startswith("| an ")]
    assert len(rows) >= 10
    for row in rows:
        named = [path for path in re.findall(r"`([a-z_./*]+)`", row) if "/" in path]
        assert named, row
        assert [path for path in named if not list(ROOT.glob(path))] == [], row
