"""A private index of packages at build time: `make lock`, the installation of a lock, the build of the image."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.image import builders
from ops.image.add_package import add
from ops.image.base import DOCKERFILE
from project.paths import ROOT
from tests.support.package_index import NAME, PASSWORD, VERSION, WHEEL, PackageIndex, package_index

AS_OF = "2026-10-25"
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def index() -> Iterator[PackageIndex]:
    with package_index() as served:
        yield served


def locked(index: PackageIndex, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command of `make lock` for the image's packages, with an .in file of our own."""
    (folder / "r.in").write_text(f"{NAME}=={VERSION}\n")
    command = [sys.executable, ROOT / "tools" / "command.py", "lock", "--exclude-newer", AS_OF]
    return subprocess.run(
        [*map(str, command), folder / "r.in", "-o", folder / "r.txt"],
        env={**os.environ, "UV_INDEX": index.url_with_password, "UV_CACHE_DIR": str(folder / "cache"), **variables},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_lock_has_a_private_package_by_hash_and_neither_url_nor_password(index: PackageIndex, tmp_path: Path) -> None:
    # In a checkout the exception is in pyproject.toml, as docs/authors.md says.
    (tmp_path / "uv.toml").write_text(f"exclude-newer-package = {{ {NAME} = false }}\n")
    made = locked(index, tmp_path, UV_CONFIG_FILE=str(tmp_path / "uv.toml"))
    assert made.returncode == 0, made.stderr
    lock = (tmp_path / "r.txt").read_text()
    assert f"{NAME}=={VERSION}" in lock
    assert "--hash=sha256:" in lock
    assert [text for text in (PASSWORD, index.address) if text in lock + made.stdout + made.stderr] == []

    subprocess.run([UV, "venv", "--quiet", tmp_path / "venv"], check=True)
    install = [UV, "pip", "install", "--no-cache", "--python", tmp_path / "venv", "--require-hashes", "-r"]
    installed = subprocess.run(
        [*map(str, install), tmp_path / "r.txt"],
        env={**os.environ, "UV_INDEX": index.url_with_password},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"/files/{WHEEL}" in index.requests
    assert PASSWORD not in installed.stdout + installed.stderr
    holding = [
        path for path in (tmp_path / "venv").rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()
    ]
    assert holding == []


def test_a_package_is_added_from_a_private_index_with_all_that_it_needs(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uv.toml").write_text(f"exclude-newer-package = {{ {NAME} = false }}\n")
    (tmp_path / "requirements.in").write_text("# packages\n")
    (tmp_path / "requirements.txt").write_text("")
    monkeypatch.setenv("UV_INDEX", index.url_with_password)
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    add(f"{NAME}<2", as_of=AS_OF, image=tmp_path)
    assert (tmp_path / "requirements.in").read_text() == f"# packages\n{NAME}<2\n"
    lock = (tmp_path / "requirements.txt").read_text()
    assert f"{NAME}=={VERSION}" in lock
    assert "--hash=sha256:" in lock
    assert PASSWORD not in lock


def test_an_index_without_times_of_upload_needs_the_exception(index: PackageIndex, tmp_path: Path) -> None:
    made = locked(index, tmp_path)
    assert made.returncode != 0
    assert f"{NAME}=={VERSION}" in made.stderr
    assert PASSWORD not in made.stderr


@pytest.mark.parametrize("builder", builders.BUILDERS, ids=lambda builder: builder.name)
def test_the_build_of_the_image_gets_the_index_as_a_secret(
    builder: builders.Builder, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = tmp_path / "said"
    program = tmp_path / builder.name
    program.write_text(f'#!/bin/sh\necho "$@" > {shlex.quote(str(said))}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    request = builders.BuildRequest(context=ROOT, dockerfile=DOCKERFILE, reference="airflow:1", arguments={})
    for url, secrets in ((index.url_with_password, ["--secret=id=uv_index,env=UV_INDEX"]), ("", [])):
        monkeypatch.setenv("UV_INDEX", url)
        builders.build(builder, request)
        assert [word for word in said.read_text().split() if "secret" in word] == secrets
        assert PASSWORD not in said.read_text()
    assert "--mount=type=secret,id=uv_index" in DOCKERFILE.read_text()
