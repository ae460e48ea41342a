"""DAGs from git, read from git's own server over HTTP."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.dag_versions.manifest import is_version, parse_manifest
from ops.dags import git as module
from ops.dags.git import Credentials, GitTrouble, Publisher, Repository, Source, parse_source
from project.errors import CommandError
from tests.support.git_server import GitServer, git, git_server

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="the test's server is git's own")

DAG = "from airflow.sdk import dag\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "git") as made:
        yield made


def exported(source: Source, folder: Path, **more: Credentials) -> tuple[str, dict[str, str]]:
    folder.mkdir()
    commit = Repository(source, *more.values()).export(folder)
    return commit, {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_a_branch_is_exported_without_history(server: GitServer, tmp_path: Path) -> None:
    server.push({"dags/a.py": DAG, "dags/lib/b.py": "B = 1\n", "README": "no DAG"})
    commit = server.push({"dags/a.py": DAG + "# 2\n"})
    (server.checkout / "dags/run.sh").write_text("#!/bin/sh\n")
    (server.checkout / "dags/run.sh").chmod(0o755)
    commit = server.push({})
    found = exported(parse_source(f"{server.url}#main:dags"), tmp_path / "out")
    assert found == (commit, {"a.py": DAG + "# 2\n", "lib/b.py": "B = 1\n", "run.sh": "#!/bin/sh\n"})
    assert os.access(tmp_path / "out/run.sh", os.X_OK)
    assert not os.access(tmp_path / "out/a.py", os.X_OK)


def test_the_default_branch_a_tag_and_an_annotated_tag_name_a_commit(server: GitServer, tmp_path: Path) -> None:
    first = server.push({"a.py": DAG})
    git(server.bare, "tag", "v1", first)
    git(server.bare, "tag", "-a", "-m", "release", "v2", first)
    last = server.push({"b.py": DAG})
    for ref, expected in (("", last), ("main", last), ("v1", first), ("v2", first)):
        source = parse_source(f"{server.url}#{ref}")
        commit, files = exported(source, tmp_path / f"out-{ref}")
        assert commit == expected
        assert ("b.py" in files) == (expected == last)


def test_a_branch_comes_before_a_tag_of_its_name(server: GitServer) -> None:
    first = server.push({"a.py": DAG}, branch="x")
    git(server.bare, "tag", "x", first)
    last = server.push({"b.py": DAG}, branch="x")
    assert Repository(parse_source(f"{server.url}#x")).latest() == last


def test_a_token_is_sent_and_never_shown(server: GitServer, tmp_path: Path) -> None:
    commit = server.push({"a.py": DAG})
    server.token = "hush-hush"
    source = parse_source(f"{server.url}#main")
    right = Credentials(user="git", token="hush-hush")
    assert exported(source, tmp_path / "out", credentials=right)[0] == commit
    assert "hush" not in repr(right)
    for wrong in (None, Credentials(user="git", token="other")):
        with pytest.raises(GitTrouble, match="token") as refused:
            Repository(source, wrong).latest()
        assert "other" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "ref", "said"),
    [
        ("/team/dags.git", "gone", "has no branch or tag gone"),
        ("/team/none.git", "main", "is no git repository"),
    ],
)
def test_what_is_not_there_is_one_line(server: GitServer, path: str, ref: str, said: str) -> None:
    server.push({"a.py": DAG})
    with pytest.raises(GitTrouble, match=said) as refused:
        Repository(parse_source(f"{server.url.removesuffix('/team/dags.git')}{path}#{ref}")).latest()
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_not_there_is_named(server: GitServer, tmp_path: Path) -> None:
    server.push({"a.py": DAG})
    with pytest.raises(CommandError, match="has no folder dags at main"):
        exported(parse_source(f"{server.url}#main:dags"), tmp_path / "out")
    with pytest.raises(CommandError, match=r"a\.py of .* is a file"):
        exported(parse_source(f"{server.url}#main:a.py"), tmp_path / "other")


def test_links_submodules_and_large_files_elsewhere_are_refused_by_name(server: GitServer, tmp_path: Path) -> None:
    commit = server.push({"a.py": DAG})
    (server.checkout / "link.py").symlink_to("/etc/passwd")
    server.push({})
    with pytest.raises(CommandError, match=r"link\.py is a link"):
        exported(parse_source(f"{server.url}#main"), tmp_path / "link")
    (server.checkout / "link.py").unlink()
    git(server.checkout, "add", "-A")
    git(server.checkout, "update-index", "--add", "--cacheinfo", f"160000,{commit},other")
    git(server.checkout, "commit", "-q", "-m", "submodule")
    server.push_head()
    with pytest.raises(CommandError, match="other is a submodule"):
        exported(parse_source(f"{server.url}#main"), tmp_path / "submodule")
    git(server.checkout, "rm", "-q", "--cached", "other")
    (server.checkout / "other").rmdir() if (server.checkout / "other").is_dir() else None
    server.push({"data.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"})
    with pytest.raises(CommandError, match=r"data\.bin is kept by Git LFS"):
        exported(parse_source(f"{server.url}#main"), tmp_path / "lfs")


def test_a_repository_that_sends_too_much_is_refused(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.push({"a.py": "".join(f"A{n} = {n * n * n}\n" for n in range(5000))})
    monkeypatch.setattr(module, "MOST_PACK_BYTES", 10_000)
    with pytest.raises(CommandError, match="sends more than"):
        exported(parse_source(f"{server.url}#main"), tmp_path / "out")


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/team/dags.git",
        "file:///etc",
        "ssh://git@example.com/x",
        "https://example.com",
        "https://example.com/x?y=1",
        "https://me:hush@example.com/x",
        "https://example.com/x#-option",
        "https://example.com/x#a..b",
        "https://example.com/x#main:../up",
        "https://example.com/x y",
        "",
    ],
)
def test_what_is_no_source_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(CommandError, match="GIT") as refused:
        parse_source(text)
    assert "hush" not in str(refused.value)


class Followed:
    """What a publisher delivers and says; `refuses`: what to raise instead."""

    def __init__(self, server: GitServer) -> None:
        self.commits: list[str] = []
        self.texts: list[str] = []
        self.said: list[str] = []
        self.refuses: Exception | None = None
        self.publisher = Publisher(Repository(parse_source(f"{server.url}#main")), self.deliver, self.said.append)

    def deliver(self, folder: Path, commit: str) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.commits.append(commit)
        self.texts.append((folder / "a.py").read_text())


def test_each_commit_is_delivered_once(server: GitServer) -> None:
    followed = Followed(server)
    pushed = []
    for number in range(5):
        pushed.append(server.push({"a.py": f"{DAG}# {number}\n"}))
        assert followed.publisher.poll()
        assert not followed.publisher.poll()
    assert followed.commits == pushed
    assert followed.texts[-1] == f"{DAG}# 4\n"
    assert not followed.said


def test_a_forced_push_is_delivered_also_back_to_an_old_commit(server: GitServer) -> None:
    followed = Followed(server)
    first = server.push({"a.py": "# 1\n"})
    followed.publisher.poll()
    server.push({"a.py": "# 2\n"})
    followed.publisher.poll()
    git(server.checkout, "reset", "-q", "--hard", first)
    server.push_head(is_forced=True)
    assert followed.publisher.poll()
    assert followed.texts == ["# 1\n", "# 2\n", "# 1\n"]


def test_a_deleted_branch_and_an_absent_host_are_said_once_and_change_nothing(server: GitServer) -> None:
    followed = Followed(server)
    server.push({"a.py": "# 1\n"})
    followed.publisher.poll()
    git(server.bare, "update-ref", "-d", "refs/heads/main")
    for _ in range(3):
        assert not followed.publisher.poll()
    assert [line for line in followed.said if "no branch or tag main" in line] == followed.said
    assert len(followed.said) == 1
    server.is_away = True
    for _ in range(3):
        assert not followed.publisher.poll()
    assert len(followed.said) == 2
    server.is_away = False
    server.push({"a.py": "# 2\n"})
    assert followed.publisher.poll()
    assert followed.said[-1].endswith("is followed again")
    assert followed.texts == ["# 1\n", "# 2\n"]


def test_what_fails_its_tests_is_said_once_and_what_may_pass_is_tried_again(server: GitServer) -> None:
    followed = Followed(server)
    server.push({"a.py": "broken\n"})
    followed.refuses = CommandError("the DAGs fail the tests")
    assert not followed.publisher.poll()
    before = len(server.requests)
    assert not followed.publisher.poll()
    assert len(server.requests) - before <= 2  # it asks what the branch is at, and fetches nothing
    assert len(followed.said) == 1
    followed.refuses = ConnectionError("S3 is away")
    server.push({"a.py": "# 2\n"})
    assert not followed.publisher.poll(passing=(ConnectionError,))
    followed.refuses = None
    assert followed.publisher.poll()
    assert followed.texts == ["# 2\n"]


def test_a_version_of_git_is_named_by_its_commit() -> None:
    from fleet.dag_versions.manifest import BadManifest, File, Manifest, digest

    made = Manifest(files={"a.py": File(sha256=digest(b""), size=0)}, commit="c" * 40)
    assert made.version.startswith("c" * 40 + "-")
    assert is_version(made.version)
    assert parse_manifest(made.to_bytes(), version=made.version) == made
    for other in ("d" * 40 + made.version[40:], made.version[41:]):
        with pytest.raises(BadManifest, match="has the commit"):
            parse_manifest(made.to_bytes(), version=other)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"001e# service=git-upload-pack\n0000", b"ffff", b"0004" * 9, bytes(range(256))]
)
def test_an_answer_that_is_not_of_git_is_one_line(body: bytes, tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler

    from local.servers.ports import HOST
    from local.servers.threads import HttpServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HttpServer(Handler, name="not git")
    try:
        repository = Repository(parse_source(f"http://{HOST}:{server.server_port}/x.git#main"))
        for ask in (repository.latest, lambda: repository.export(tmp_path)):
            with pytest.raises(GitTrouble) as refused:
                ask()
            assert "\n" not in str(refused.value)
    finally:
        server.close()
