"""The word list: discouraged words are found in texts that people read, and nowhere else."""

from pathlib import Path

import pytest

from tools import words


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> words.Finder:
    """Return the findings in a file of the given name and text."""
    monkeypatch.setattr(words, "ROOT", tmp_path)

    def find(name: str, text: str) -> list[str]:
        (tmp_path / name).write_text(text)
        return list(words.findings(name))

    return find


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "Each look takes a second.\n"),
        ("module.py", '"""Say what nobody says."""\n'),
        ("module.py", "x = 1  # the crew\n"),
        ("module.py", 'print(f"waits for ever: {1}")\n'),
        ("page.js", "// somebody reads this\n"),
        ("Makefile", "sleep: ## what is foretold\n"),
    ],
)
def test_a_discouraged_word_is_found_with_its_place(found: words.Finder, name: str, text: str) -> None:
    (finding,) = found(name, text)
    assert finding.startswith(f"{name}:1: ")
    assert ": say " in finding


def test_a_finding_inside_a_long_docstring_names_its_own_line(found: words.Finder) -> None:
    (finding,) = found("module.py", '"""Say it.\n\nNobody reads this.\n"""\n')
    assert finding.startswith("module.py:3: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "The function looks at the queue and looks up its length. `looks` is a field.\n"),
        ("module.py", 'nobody = {"crew": "somebody"}\n'),
        ("CONTRIBUTING.md", "| tick | one pass | look |\n"),
        ("data.csv", "nobody\n"),
    ],
)
def test_names_and_plain_uses_are_left_alone(found: words.Finder, name: str, text: str) -> None:
    assert found(name, text) == []
