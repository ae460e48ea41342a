"""Generating the template: deterministic, fast, and compared with the committed file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from troposphere.serverless import FunctionGlobals, Globals

import template_gen
from stack.render import HEADER, render
from tests.support import rendered

ROOT = Path(template_gen.__file__).parent
GENERATOR = ROOT / "template_gen.py"


def generate(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.run(
        [sys.executable, str(GENERATOR), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_committed_template_is_the_generated_one() -> None:
    assert template_gen.main(["--check"]) == 0, "run make template"


def test_two_builds_are_byte_identical(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    for path, seed in ((first, "1"), (second, "2")):
        assert generate("--template", str(path), seed=seed).returncode == 0
    assert first.read_bytes() == second.read_bytes()


def test_check_passes_on_a_fresh_file(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    template_gen.main(["--template", str(path)])
    assert template_gen.main(["--check", "--template", str(path)]) == 0


@pytest.mark.parametrize(("content", "state"), [("Resources: {}\n", "stale"), (None, "missing")])
def test_check_tells_in_one_line_that_the_file_is_not_the_generated_one(
    tmp_path: Path, content: str | None, state: str
) -> None:
    path = tmp_path / "template.yaml"
    if content is not None:
        path.write_text(content)
    result = generate("--check", "--template", str(path))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"template.yaml is {state}: run make template and commit the result\n"


def test_check_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("old")
    template_gen.main(["--check", "--template", str(path)])
    assert path.read_text() == "old"


def test_the_file_says_that_it_is_generated() -> None:
    assert rendered.text().startswith(HEADER)
    assert "generated" in HEADER.lower()


def test_a_section_that_the_renderer_does_not_know_is_refused() -> None:
    t = template_gen.build()
    t.set_globals(Globals(Function=FunctionGlobals(Timeout=1)))
    with pytest.raises(ValueError, match="render has no place for Globals"):
        render(t)
