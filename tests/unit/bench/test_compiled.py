"""Compiling the simulator, and running it interpreted where that is impossible."""

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from bench.sim.compiled.build import BuildError, build, built, main, sources
from bench.sim.compiled.use import use_compiled
from project.paths import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Copy the sources, so that a test can change them."""
    for source in sources(ROOT):
        copy = tmp_path / "root" / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    return tmp_path / "root"


def test_a_build_is_used_for_unchanged_sources_only(root: Path, tmp_path: Path) -> None:
    assert built(root=root) == built()
    built(root=root, cache=tmp_path).mkdir()
    decide = root / "functions" / "autoscaler" / "decide.py"
    decide.write_text(decide.read_text() + "\n")
    path = list(sys.path)
    assert built(root=root) != built()
    assert not use_compiled(root=root, cache=tmp_path)
    assert sys.path == path


def test_a_build_depends_on_the_versions_of_python_and_mypy(monkeypatch: pytest.MonkeyPatch) -> None:
    present = built()
    with monkeypatch.context() as other:
        other.setattr("bench.sim.compiled.build.metadata.version", lambda _: "0")
        assert built() != present
    monkeypatch.setattr(sys, "version", "3.12.0")
    assert built() != present


def test_one_line_says_that_there_is_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    main(cache=tmp_path)
    assert capsys.readouterr().out == (
        "bench: no C compiler: the simulator runs interpreted, which takes about three times as long\n"
    )
    assert not list(tmp_path.iterdir())


def test_nothing_is_built_without_pythons_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "nowhere"))
    with pytest.raises(BuildError, match=r"no Python\.h"):
        build(say=print, cache=tmp_path)


@pytest.mark.slow
def test_a_failed_build_leaves_its_log_and_no_build(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    include = tmp_path / "include"
    include.mkdir()
    (include / "Python.h").touch()
    monkeypatch.setenv("CC", sys.executable)  # is never called: mypyc checks the sources first
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(include))
    clock, cache = root / "bench" / "sim" / "clock.py", tmp_path / "cache"
    clock.write_text("def\n")
    with pytest.raises(BuildError, match=r"the build failed, see .*build\.log"):
        build(say=lambda _: None, root=root, cache=cache)
    assert "clock.py:1: error" in (cache / "build.log").read_text()
    clock.write_text("now: int = ''\n")
    with pytest.raises(BuildError, match=r"the build failed, see .*build\.log"):
        build(say=lambda _: None, root=root, cache=cache)
    assert "clock.py:1: error" in (cache / "build.log").read_text()
    assert not any(path.is_dir() for path in cache.iterdir())
