"""Unit tests of what builds the image: which builder, which revision, what a saved image holds."""

import datetime
import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from local.fargate.image import AUTHORITIES, Image
from local.servers import tls
from local.servers.ports import free_port
from local.servers.tls import Authority
from ops.image import authorities
from ops.image.__main__ import AUTHORITIES as AUTHORITIES_IN_CONTEXT
from ops.image.archive import open_archive
from ops.image.builders import find_builder
from ops.image.revision import read_revision, web_address
from project.errors import CommandError

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "airflow_image" / "Dockerfile"
LARGE = b"0123456789" * 100_000


def tar(files: dict[str, bytes]) -> bytes:
    """Return an archive of these files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return a saved image of two layers, the upper one compressed."""
    manifest = [{"RepoTags": ["i:1"], "Layers": ["lower", "upper"]}]
    path = tmp_path / "image.tar"
    path.write_bytes(
        tar(
            {
                "manifest.json": json.dumps(manifest).encode(),
                "lower": tar({"etc/issue": b"old", "large": LARGE}),
                "upper": gzip.compress(tar({"./etc/issue": b"new"})),
            }
        )
    )
    return path


def programs(folder: Path, **exit_codes: int) -> None:
    """Put programs into `folder` that exit with these codes, whatever their arguments."""
    for name, code in exit_codes.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\nexit {code}\n")
        program.chmod(0o755)


@pytest.mark.parametrize(
    ("exit_codes", "found"),
    [
        ({"docker": 0, "podman": 0, "buildah": 0}, "docker"),
        ({"docker": 1, "podman": 0, "buildah": 0}, "podman"),  # without its daemon
        ({"buildah": 0}, "buildah"),
    ],
)
def test_the_first_builder_that_works_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_codes: dict[str, int], found: str
) -> None:
    programs(tmp_path, **exit_codes)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_builder().name == found


def test_a_builder_can_be_chosen_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, docker=0, buildah=0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_builder("buildah").name == "buildah"


@pytest.mark.parametrize("name", [None, "podman"])
def test_a_missing_builder_is_one_line_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    programs(tmp_path, docker=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match=r"install podman or buildah, or start docker's daemon$"):
        find_builder(name)


def test_a_file_is_read_from_the_uppermost_layer_that_has_it(saved: Path) -> None:
    with open_archive(saved) as archive:
        assert (archive.read("/etc/issue"), len(archive.read("/large"))) == (b"new", len(LARGE))


def test_a_file_that_the_image_lacks_is_an_error(saved: Path) -> None:
    with open_archive(saved) as archive, pytest.raises(CommandError, match="no file /etc/other"):
        archive.read("/etc/other")


def test_the_size_is_what_a_registry_would_hold(saved: Path) -> None:
    lower = len(gzip.compress(tar({"etc/issue": b"old", "large": LARGE}), 6))
    upper = len(gzip.compress(tar({"./etc/issue": b"new"})))
    with open_archive(saved) as archive:
        assert archive.compressed_bytes() == pytest.approx(lower + upper, abs=50)  # the length of gzip's own header


@pytest.mark.parametrize("content", [b"not a tar", tar({"other": b""})])
def test_a_file_that_is_not_an_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(content)
    with pytest.raises(CommandError, match="is not the archive of one image"), open_archive(path):
        pass


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a git checkout with one commit."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("one")
    for arguments in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True)
    return tmp_path


def test_the_version_is_the_commit(checkout: Path) -> None:
    revision = read_revision(checkout, version=None)
    assert revision.commit.startswith(revision.version)
    assert len(revision.version) >= 7


def test_a_version_says_that_something_is_not_committed(checkout: Path) -> None:
    (checkout / "file").write_text("two")
    assert read_revision(checkout, version=None).version.endswith("-dirty")


def test_an_operators_own_version_leaves_the_commit_as_it_is(checkout: Path) -> None:
    revision = read_revision(checkout, version="1.2.3")
    assert (revision.version, len(revision.commit)) == ("1.2.3", 40)


def test_outside_a_checkout_the_operator_has_to_name_the_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_revision(tmp_path, version="1.2.3").commit == ""
    with pytest.raises(CommandError, match=r"VERSION=\.\.\."):
        read_revision(tmp_path, version=None)


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://github.com/o/airflow-on-ecs.git", "https://github.com/o/airflow-on-ecs"),
        ("https://user:token@github.com/o/r", "https://github.com/o/r"),
        ("git@github.com:o/r.git", ""),
        ("/srv/git/r", ""),
        ("", ""),
    ],
)
def test_a_label_shows_only_what_everybody_may_see(remote: str, address: str) -> None:
    assert web_address(remote) == address


def test_the_local_stack_gives_a_container_the_variables_that_the_image_sets() -> None:
    lines = DOCKERFILE.read_text().replace("\\\n", " ").splitlines()
    image = {pair.split("=")[0] for line in lines if line.startswith("ENV ") for pair in line.split()[1:]}
    local = Image(root=Path("/image"), version="1", packages=Path("/venv")).environment(Path("/home"))
    assert local.keys() - {"HOME", "TMPDIR"} == image


def test_authorities_are_put_where_the_dockerfile_takes_them_from(tmp_path: Path) -> None:
    source, target = Authority(tmp_path / "tls").ca_path, tmp_path / "context" / "rds.pem"
    assert authorities.write(str(source), target) == 1
    assert target.read_bytes() == source.read_bytes()
    assert DOCKERFILE.parent / AUTHORITIES == AUTHORITIES_IN_CONTEXT
    assert f"COPY airflow_image/{AUTHORITIES} {AUTHORITIES.parent}/" in DOCKERFILE.read_text()


def test_whatever_the_dockerfile_copies_reaches_the_build() -> None:
    """The context holds nothing but what is named: a build would find out only after minutes."""
    copied = {
        source
        for line in DOCKERFILE.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    nothing_but, *names = (ROOT / ".dockerignore").read_text().split()
    assert nothing_but == "*"
    allowed = tuple(name.removeprefix("!") for name in names if name.startswith("!"))
    assert {source for source in copied if not source.startswith(allowed)} == set()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no certificate", "is not a file of certificates"),
        ("server", "holds a certificate that is not an authority's"),
        (None, r"cannot read .* \(FileNotFoundError\): set AUTHORITIES=FILE"),
    ],
)
def test_a_file_without_authorities_is_refused_and_changes_nothing(
    tmp_path: Path, content: str | None, said: str
) -> None:
    source, target = tmp_path / "given.pem", tmp_path / "rds.pem"
    target.write_text("as before")
    if content is not None:
        server = Authority(tmp_path / "tls").certificate_path.read_text()
        source.write_text(server if content == "server" else content)
    with pytest.raises(CommandError, match=said):
        authorities.write(str(source), target)
    assert target.read_text() == "as before"


def test_authorities_that_nobody_serves_are_one_line() -> None:
    with pytest.raises(CommandError, match=r"\(ConnectError\): set AUTHORITIES=FILE to a copy of it$"):
        authorities.write(f"https://127.0.0.1:{free_port()}/rds.pem", Path("never-written"))


def test_authorities_that_have_all_expired_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tls, "LIFETIME", datetime.timedelta(hours=-1))
        source = Authority(tmp_path / "tls").ca_path
    with pytest.raises(CommandError, match="only certificates that have expired"):
        authorities.write(str(source), tmp_path / "rds.pem")
