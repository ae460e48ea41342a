"""Versions on a worker's disk: fetched once for all processes, whole or not there, and removed only when unused."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dag_bundles.store import CannotHold, VersionStore
from fleet.dag_versions.bucket import BundleBucket, Missing, Unavailable
from fleet.dag_versions.manifest import digest
from ops.dags.folder import read_folder
from tests.support.aws_api import AwsApi
from tests.support.bundles import BUNDLE, Bundle, Cut, folder

MIB = 1 << 20
FILES = {"a.py": "A = 1\n", "team/b.py": "B = 1\n", "team/same.py": "A = 1\n"}
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def bundle(api: AwsApi) -> Bundle:
    return Bundle.new(api.client("s3"), api.region)


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "kept", limit_bytes=100 * MIB)


def source(bundle: Bundle, s3: object = None) -> BundleBucket:
    return BundleBucket(bundle.bucket, BUNDLE, client=s3 or bundle.s3)


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


def texts(path: Path) -> dict[str, str]:
    return {each.relative_to(path).as_posix(): each.read_text() for each in path.rglob("*") if each.is_file()}


def left_over(tmp_path: Path) -> list[Path]:
    return [*(tmp_path / "kept").glob("new-*"), *(tmp_path / "kept" / "objects").glob("part-*")]


def test_a_version_is_fetched_once_and_the_next_brings_only_what_changed(
    bundle: Bundle, store: VersionStore, tmp_path: Path
) -> None:
    first, second = (bundle.delivery().upload(folder(tmp_path, {**FILES, "a.py": a})).version for a in ("1", "2"))
    counting = Cut(s3=bundle.s3)
    held = store.hold(first, source(bundle, counting), until=soon())
    assert texts(held.path) == {**FILES, "a.py": "1"}
    assert counting.calls == ["get"] * 4  # the manifest, three contents
    store.hold(first, source(bundle, counting), until=soon())
    assert len(counting.calls) == 4
    store.hold(second, source(bundle, counting), until=soon())
    assert len(counting.calls) == 6  # a manifest, one content


def test_a_file_keeps_its_right_to_be_executed(bundle: Bundle, store: VersionStore, tmp_path: Path) -> None:
    made = folder(tmp_path, {"a.py": "", "run.sh": "exit 0\n"})
    made.places["run.sh"].chmod(0o755)
    version = bundle.delivery().upload(read_folder(made.places["run.sh"].parent)).version
    path = store.hold(version, source(bundle), until=soon()).path
    assert os.access(path / "run.sh", os.X_OK)
    assert (path / "a.py").stat().st_mode & 0o111 == 0


def processes(count: int, work: Callable[[], None]) -> list[multiprocessing.process.BaseProcess]:
    started = [FORK.Process(target=work) for _ in range(count)]
    for each in started:
        each.start()
    return list(started)


def test_eight_processes_that_need_a_version_at_once_fetch_it_once(
    api: AwsApi, bundle: Bundle, store: VersionStore, tmp_path: Path
) -> None:
    version = bundle.delivery().upload(folder(tmp_path, FILES)).version
    fetches = tmp_path / "fetches"

    class Noting(Cut):
        def get_object(self, **arguments: object) -> object:
            with fetches.open("a") as file:
                file.write("x")
            return super().get_object(**arguments)

    def work() -> None:
        mine = source(bundle, Noting(s3=api.client("s3")))
        assert texts(store.hold(version, mine, until=soon()).path) == FILES

    started = processes(8, work)
    for each in started:
        each.join(60)
    assert [each.exitcode for each in started] == [0] * 8
    assert len(fetches.read_text()) == 3  # the manifest and two different contents


class Slow:
    """A source that stops in the middle of a version, and says so by a file."""

    def __init__(self, inner: BundleBucket, at: Path) -> None:
        self._inner, self._at = inner, at

    def manifest(self, version: str, *, until: float) -> bytes:
        return self._inner.manifest(version, until=until)

    def content(self, sha256: str, *, until: float) -> bytes:
        if sha256 == digest(FILES["team/b.py"].encode()):
            self._at.touch()
            time.sleep(60)
        return self._inner.content(sha256, until=until)


def stop_at_the_second_link(at: Path) -> None:
    """Let this process stop in the middle of a version's folder."""
    link, left = os.link, [1]

    def slow(*arguments: Any) -> None:
        if not left:
            at.touch()
            time.sleep(60)
        left.pop()
        link(*arguments)

    os.link = slow  # type: ignore[assignment]


@pytest.mark.parametrize("moment", ["fetching", "linking"])
def test_a_process_that_is_killed_while_it_writes_a_version_leaves_no_half_one(
    api: AwsApi, bundle: Bundle, store: VersionStore, tmp_path: Path, moment: str
) -> None:
    version = bundle.delivery().upload(folder(tmp_path, FILES)).version
    stopped = tmp_path / "stopped"

    def work() -> None:
        mine = BundleBucket(bundle.bucket, BUNDLE, client=api.client("s3"))
        if moment == "linking":
            stop_at_the_second_link(stopped)
        store.hold(version, Slow(mine, stopped) if moment == "fetching" else mine, until=soon(120))

    (writer,) = processes(1, work)
    deadline = time.monotonic() + 30
    while not stopped.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stopped.exists()
    assert not store.path(version).exists()
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    writer.join(10)
    assert texts(store.hold(version, source(bundle), until=soon()).path) == FILES
    assert left_over(tmp_path) == []


class Failing:
    """A source that has the manifest and fails for each content."""

    def __init__(self, inner: BundleBucket, error: Exception) -> None:
        self._inner, self._error = inner, error

    def manifest(self, version: str, *, until: float) -> bytes:
        return self._inner.manifest(version, until=until)

    def content(self, sha256: str, *, until: float) -> bytes:  # noqa: ARG002 - the protocol's signature
        raise self._error


@pytest.mark.parametrize("error", [Unavailable("the bucket is away"), Missing("it does not exist")])
def test_a_version_that_cannot_be_fetched_whole_is_not_there(
    bundle: Bundle, store: VersionStore, tmp_path: Path, error: Exception
) -> None:
    version = bundle.delivery().upload(folder(tmp_path, FILES)).version
    with pytest.raises(CannotHold, match=str(error)):
        store.hold(version, Failing(source(bundle), error), until=soon())
    assert not store.path(version).exists()
    assert texts(store.hold(version, source(bundle), until=soon()).path) == FILES


def test_a_content_that_is_not_what_its_name_says_is_never_used(
    bundle: Bundle, store: VersionStore, tmp_path: Path
) -> None:
    version = bundle.delivery().upload(folder(tmp_path, FILES)).version
    key = f"bundles/dags/objects/{digest(FILES['a.py'].encode())}"
    bundle.s3.put_object(Bucket=bundle.bucket, Key=key, Body=b"A = 2\n")
    with pytest.raises(CannotHold, match="damaged"):
        store.hold(version, source(bundle), until=soon())


def test_a_kept_content_that_a_task_has_changed_does_not_spread_to_the_next_version(
    bundle: Bundle, store: VersionStore, tmp_path: Path
) -> None:
    first, second = (bundle.delivery().upload(folder(tmp_path, {**FILES, "c.py": c})).version for c in ("1", "2"))
    changed = store.hold(first, source(bundle), until=soon()).path / "a.py"
    changed.chmod(0o644)
    changed.write_text("A = 9\n")
    assert texts(store.hold(second, source(bundle), until=soon()).path)["a.py"] == "A = 1\n"


def test_the_versions_used_longest_ago_go_and_one_in_use_stays(bundle: Bundle, tmp_path: Path) -> None:
    store = VersionStore(tmp_path / "kept", limit_bytes=3 * MIB)
    big = "#" * MIB
    made = [{"a.py": f"{big}{number}"} for number in range(5)]
    versions = [bundle.delivery().upload(folder(tmp_path, files)).version for files in made]
    in_use = store.hold(versions[0], source(bundle), until=soon())
    for version in versions[1:]:
        store.hold(version, source(bundle), until=soon()).release()
    there = [store.path(version).exists() for version in versions]
    assert there[0], "a version in use was removed"
    assert there[4], "the newest version was removed"
    assert not there[1]
    assert len(list((tmp_path / "kept" / "objects").iterdir())) == sum(there)
    in_use.release()
    # One that was removed is fetched again.
    assert texts(store.hold(versions[1], source(bundle), until=soon()).path) == made[1]


@pytest.fixture
def frozen(api: AwsApi) -> Iterator[None]:
    """S3 accepts connections and does not answer."""
    os.kill(api.process.pid, signal.SIGSTOP)
    yield
    os.kill(api.process.pid, signal.SIGCONT)


def test_a_bucket_that_does_not_answer_fails_within_the_limit_and_with_a_reason(
    api: AwsApi, bundle: Bundle, store: VersionStore, frozen: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in api.environment.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    with pytest.raises(CannotHold, match=rf"s3://{bundle.bucket}/bundles/dags/manifests/.*[Tt]ime"):
        store.hold(digest(b""), BundleBucket(bundle.bucket, BUNDLE), until=soon(3))
    assert time.monotonic() - began < 3 + 2 * 7


def test_a_version_that_is_missing_fails_at_once(bundle: Bundle, store: VersionStore) -> None:
    began = time.monotonic()
    with pytest.raises(CannotHold, match="does not exist"):
        store.hold(digest(b""), source(bundle), until=soon(60))
    assert time.monotonic() - began < 10
