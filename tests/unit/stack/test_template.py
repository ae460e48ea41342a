"""Generating the template: deterministic, fast, and compared with the committed file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse
from troposphere.serverless import FunctionGlobals, Globals

import template_gen
from cfn.template import parse
from stack.render import HEADER, render
from tests.support import rendered

ROOT = Path(template_gen.__file__).parent
GENERATOR = ROOT / "template_gen.py"
FILES = ("template.yaml", "reference.md", "grafana-dashboard.json")


def arguments(folder: Path, *, check: bool = False) -> list[str]:
    options = zip(("--template", "--reference", "--grafana"), FILES, strict=True)
    paths = [part for option, name in options for part in (option, str(folder / name))]
    return [*(["--check"] if check else []), *paths]


def generate(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.run(
        [sys.executable, str(GENERATOR), *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_the_committed_files_are_the_generated_ones() -> None:
    assert template_gen.main(["--check"]) == 0, "run make template"


def test_two_builds_are_byte_identical(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, seed in ((first, "1"), (second, "2")):
        folder.mkdir()
        assert generate(*arguments(folder), seed=seed).returncode == 0
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the generated files. It is shared: do not change it."""
    folder = tmp_path_factory.mktemp("fresh")
    template_gen.main(arguments(folder))
    return folder


def test_check_passes_on_fresh_files(fresh: Path) -> None:
    assert template_gen.main(arguments(fresh, check=True)) == 0


@pytest.mark.parametrize(
    ("content", "state"), [("Resources: {}\n", "stale"), pytest.param(None, "missing", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", FILES)
def test_check_reports_a_stale_or_missing_file_in_one_line(
    fresh: Path, tmp_path: Path, name: str, content: str | None, state: str
) -> None:
    shutil.copytree(fresh, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    result = generate(*arguments(tmp_path, check=True))
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"{name} is {state}: run make template and commit the result\n"


def test_check_writes_nothing(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("old")
    template_gen.main(arguments(tmp_path, check=True))
    assert {name: (tmp_path / name).read_text() for name in FILES} == dict.fromkeys(FILES, "old")


def test_the_text_is_the_content_that_the_other_tests_examine() -> None:
    assert yaml_parse(rendered.text()) == parse(rendered.text()) == rendered.template()


def test_the_file_says_that_it_is_generated() -> None:
    assert rendered.text().startswith(HEADER)
    assert "generated" in HEADER.lower()


def test_a_section_that_the_renderer_does_not_know_is_refused() -> None:
    t = template_gen.build()
    t.set_globals(Globals(Function=FunctionGlobals(Timeout=1)))
    with pytest.raises(ValueError, match="render has no place for Globals"):
        render(t)
