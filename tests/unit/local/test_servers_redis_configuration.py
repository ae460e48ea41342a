"""What the throw-away Redis is configured with, before it runs."""

import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from local.servers.process import StartError
from local.servers.redis import configuration, redis_binary


def test_a_password_cannot_end_its_line_or_its_quotes() -> None:
    assert configuration(1, 'a"\nb').splitlines()[-1] == r'requirepass "\x61\x22\x0a\x62"'


def test_without_a_password_none_is_required() -> None:
    assert "requirepass" not in configuration(1, None)


def test_the_server_on_path_comes_before_the_bundled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/found/{name}")
    assert redis_binary() == "/found/redis-server"


def test_the_bundled_server_is_taken_when_there_is_none_on_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    binary = tmp_path / "bin" / "redis-server"
    binary.parent.mkdir()
    binary.touch()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    assert redis_binary() == str(binary)


def test_with_neither_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StartError, match=r"install redis-server$"):
        redis_binary()
