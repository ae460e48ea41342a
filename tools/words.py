"""Find discouraged words in the texts that people read. CONTRIBUTING.md has the word list and its reasons.

python tools/words.py [PATH ...]    print one line a finding; exit 1 if there is any

It checks documentation, comments, docstrings and messages (strings with a space in them) in the files that git tracks.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Regular expression of a discouraged word or phrase -> what to write instead.
DISCOURAGED = {
    r"looks?(?! (?:at|up|for|like|into)\b)": "tick, or check",
    r"crews?|muster(?:s|ed)?": "workers",
    r"forewarn\w*|foretold|foretell\w*|foresee\w*|foreseen": "forecast, scheduled or expected",
    r"nobody|somebody|anybody|everybody|whoever|whosoever": "no one, someone, anyone, everyone",
    r"for ever": "every wait has a limit: name it",
    r"wish(?:es|ed)?": "desired state",
    r"(?:goes|go|gone|went) (?:a|no|its) rounds?": "heartbeat",
    r"released workers?": "stopping workers",
    r"hence|thereof|therein|whereof|whence": "so, of it, in it",
}
PATTERNS = [
    (re.compile(rf"(?<![\w`./-])(?:{words})(?![\w`/-])", re.IGNORECASE), say) for words, say in DISCOURAGED.items()
]
PROSE = {".md", ".js", ".yml", ".yaml", ".toml", ".in"}
PROSE_NAMES = {"Makefile", "Dockerfile", "entrypoint", ".dockerignore", ".gitignore"}
NOT_OURS = {"LICENSE", "template.yaml"}  # template.yaml is generated from strings that are checked
WORD_LIST = "CONTRIBUTING.md"  # its tables name the words
SELF = ("tools/words.py", "tests/unit/project/test_words.py")  # they hold the words themselves

Finder = Callable[[str, str], list[str]]


def main(arguments: list[str]) -> int:
    """Check the files named, or all that git tracks."""
    listed = subprocess.run(["git", "ls-files", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    found = [line for name in listed.stdout.splitlines() for line in findings(name)]
    for line in found:
        sys.stdout.write(f"{line}\n")
    return 1 if found else 0


def findings(name: str) -> Iterator[str]:
    """Yield one line a discouraged word in the file `name`, relative to the repository."""
    path = ROOT / name
    if name in NOT_OURS or name in SELF or not path.is_file():
        return
    if path.suffix == ".py":
        texts = python_texts(path.read_text())
    elif path.suffix in PROSE or path.name in PROSE_NAMES:
        lines = enumerate(path.read_text().splitlines(), start=1)
        texts = ((number, line) for number, line in lines if not (name == WORD_LIST and line.startswith("|")))
    else:
        return
    for number, text in texts:
        for pattern, say in PATTERNS:
            for match in pattern.finditer(text):
                line = number + text.count("\n", 0, match.start())
                yield f"{name}:{line}: {match.group()!r}: say {say}"


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and messages, each with the number of its first line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_message = token.type == tokenize.STRING and " " in token.string
        if token.type == tokenize.COMMENT or is_message or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            yield token.start[0], token.string


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
