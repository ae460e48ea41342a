"""An upload to a real S3 is current whole or not at all, whatever happens on the way."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from dag_bundles.store import VersionStore
from fleet.bundles import Bundle as Reported
from fleet.bundles import Bundles, VersionInUse
from fleet.dag_versions.bucket import BundleBucket
from fleet.dag_versions.delivery import CLEAN_WITHIN_S, Delivery
from fleet.dag_versions.memory import Memory
from fleet.dag_versions.writing import Refused
from ops.dags.__main__ import remove_old
from ops.deployed import DeployedStack
from project.errors import CommandError
from tests.support.aws_api import AwsApi
from tests.support.bundles import LATER_S, Bundle, Cut, folder

FIRST = {"a.py": "A = 1\n", "team/b.py": "B = 1\n", "team/c.sql": "select 1\n"}
SECOND = {**FIRST, "a.py": "A = 2\n", "team/d.py": "D = 2\n"}


@pytest.fixture
def bundle(api: AwsApi) -> Bundle:
    return Bundle.new(api.client("s3"), api.region)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(tmp_path / "memory.json")


def current(delivery: Delivery) -> str:
    entry = delivery.pointer().current
    assert entry is not None
    return entry.version


def test_an_upload_is_current_and_the_same_files_again_change_nothing(bundle: Bundle, tmp_path: Path) -> None:
    first = folder(tmp_path, FIRST)
    done = bundle.delivery().upload(first)
    assert (done.version, done.uploaded, done.is_new) == (first.manifest.version, 3, True)
    again = bundle.delivery().upload(folder(tmp_path, FIRST))
    assert (again.version, again.uploaded, again.is_new) == (done.version, 0, False)
    assert current(bundle.delivery()) == done.version


@pytest.mark.parametrize("is_remembered", [True, False])
def test_one_changed_file_of_many_is_uploaded_with_two_requests_more(
    bundle: Bundle, tmp_path: Path, memory: Memory, is_remembered: bool
) -> None:
    many = {f"f{number}.py": f"N = {number}\n" for number in range(200)}
    bundle.delivery(memory=memory).upload(folder(tmp_path, many))
    counting = Cut(s3=bundle.s3)
    delivery = bundle.delivery(counting, memory=memory if is_remembered else None)
    done = delivery.upload(folder(tmp_path, {**many, "f7.py": "changed = True\n"}))
    assert (done.uploaded, done.versions) == (1, 2)
    assert counting.calls.count("put") == 3  # the file, the manifest, the pointer
    # Where nothing is remembered, the pointer and the manifest before.
    assert counting.calls.count("get") == (0 if is_remembered else 2)
    assert_whole(bundle, done.version, tmp_path, files=200)


def assert_whole(bundle: Bundle, version: str, tmp_path: Path, *, files: int) -> None:
    """Fetch a version as a worker that has none of it."""
    store = VersionStore(tmp_path / f"kept-{version[:12]}", limit_bytes=1 << 30)
    source = BundleBucket(bundle.bucket, "dags", client=bundle.s3)
    held = store.hold(version, source, until=time.monotonic() + 30)
    assert sum(path.is_file() for path in held.path.rglob("*")) == files
    held.release()


STEPS = ("objects", "objects", "manifests", "current.json")  # what makes the second version


@pytest.mark.parametrize("is_remembered", [True, False])
@pytest.mark.parametrize("after", range(len(STEPS)))
def test_an_upload_that_is_cut_at_any_step_changes_nothing_and_can_be_repeated(
    bundle: Bundle, tmp_path: Path, memory: Memory, after: int, is_remembered: bool
) -> None:
    known = memory if is_remembered else None
    first = bundle.delivery(memory=known).upload(folder(tmp_path, FIRST)).version
    cut = Cut(s3=bundle.s3, after=after)
    with pytest.raises(ConnectionError):
        bundle.delivery(cut, memory=known).upload(folder(tmp_path, SECOND))
    assert {key.split("/")[2] for key in cut.refused} == {STEPS[after]}
    assert cut.calls.count("put") == after
    assert current(bundle.delivery()) == first
    done = bundle.delivery(memory=known).upload(folder(tmp_path, SECOND))
    assert current(bundle.delivery()) == done.version
    assert_whole(bundle, done.version, tmp_path, files=len(SECOND))


@dataclass(kw_only=True)
class Racing(Cut):
    """Another upload becomes current just before this one's pointer is written."""

    others: list[Callable[[], object]]

    def put_object(self, **arguments: Any) -> Any:
        while str(arguments["Key"]).endswith("current.json") and self.others:
            self.others.pop()()
        return super().put_object(**arguments)


@pytest.mark.parametrize("before", ["nothing", "a version", "a remembered version"])
def test_of_two_uploads_at_once_one_loses_and_says_so(
    bundle: Bundle, tmp_path: Path, memory: Memory, before: str
) -> None:
    if before != "nothing":
        bundle.delivery(memory=memory).upload(folder(tmp_path, {"old.py": ""}))
    racing = Racing(s3=bundle.s3, others=[lambda: bundle.delivery().upload(folder(tmp_path, SECOND))])
    known = memory if before == "a remembered version" else None
    with pytest.raises(Refused, match="another upload to the bundle dags came first"):
        bundle.delivery(racing, memory=known).upload(folder(tmp_path, FIRST))
    assert current(bundle.delivery()) == folder(tmp_path, SECOND).manifest.version
    assert len(bundle.delivery().pointer().entries) == (1 if before == "nothing" else 2)
    # It was told, so it may decide: the same again succeeds.
    assert bundle.delivery(memory=known).upload(folder(tmp_path, FIRST)).is_new


@dataclass(kw_only=True)
class Unheard(Cut):
    """The answer to the write of the pointer is lost once, and boto3 sends it again."""

    def put_object(self, **arguments: Any) -> Any:
        if str(arguments["Key"]).endswith("current.json"):
            super().put_object(**arguments)
        return super().put_object(**arguments)


@pytest.mark.parametrize("is_first", [True, False])
def test_an_upload_whose_last_answer_is_lost_is_no_other_upload(bundle: Bundle, tmp_path: Path, is_first: bool) -> None:
    if not is_first:
        bundle.delivery().upload(folder(tmp_path, FIRST))
    done = bundle.delivery(Unheard(s3=bundle.s3)).upload(folder(tmp_path, SECOND))
    assert done.is_new
    assert current(bundle.delivery()) == done.version


def test_what_others_did_since_the_last_upload_from_here_is_no_upload_at_once(
    bundle: Bundle, tmp_path: Path, memory: Memory
) -> None:
    """They have also removed a file that is remembered to be there."""
    bundle.delivery(memory=memory).upload(folder(tmp_path, {"a.py": "A = 0\n", "only.py": ""}))
    others = push_several(bundle, tmp_path, 3)
    bundle.later().clean(1, in_use=[])
    time.sleep(2)  # S3 says to the second when the pointer was stored
    files = {"a.py": "A = 9\n", "only.py": ""}
    done = bundle.delivery(memory=memory).upload(folder(tmp_path, files))
    assert [each.version for each in bundle.delivery().pointer().entries] == [done.version, others[-1]]
    assert_whole(bundle, done.version, tmp_path, files=2)


def test_a_pointer_that_was_removed_since_is_made_anew(bundle: Bundle, tmp_path: Path, memory: Memory) -> None:
    bundle.delivery(memory=memory).upload(folder(tmp_path, FIRST))
    for key in bundle.stored():
        bundle.s3.delete_object(Bucket=bundle.bucket, Key=key)
    done = bundle.delivery(memory=memory).upload(folder(tmp_path, SECOND))
    assert_whole(bundle, done.version, tmp_path, files=len(SECOND))


def test_the_same_files_again_are_current_only_if_the_bucket_says_so(
    bundle: Bundle, tmp_path: Path, memory: Memory
) -> None:
    first = bundle.delivery(memory=memory).upload(folder(tmp_path, FIRST)).version
    assert not bundle.delivery(memory=memory).upload(folder(tmp_path, FIRST)).is_new
    bundle.delivery().upload(folder(tmp_path, SECOND))
    assert bundle.delivery(memory=memory).upload(folder(tmp_path, FIRST)).is_new
    assert current(bundle.delivery()) == first


@pytest.mark.parametrize("damage", ["", "{}", '{"pointer": 1}', "[1]"])
def test_a_damaged_memory_is_no_memory(bundle: Bundle, tmp_path: Path, memory: Memory, damage: str) -> None:
    bundle.delivery(memory=memory).upload(folder(tmp_path, FIRST))
    (tmp_path / "memory.json").write_text(damage)
    assert memory.recall() is None
    assert bundle.delivery(memory=memory).upload(folder(tmp_path, SECOND)).is_new
    assert memory.recall() is not None


def test_a_return_and_a_removal_are_remembered(bundle: Bundle, tmp_path: Path, memory: Memory) -> None:
    versions = push_several(bundle, tmp_path, 4)
    bundle.delivery(memory=memory).go_back(versions[2])
    bundle.later(memory=memory).clean(1, in_use=[])
    counting = Cut(s3=bundle.s3)
    done = bundle.delivery(counting, memory=memory).upload(folder(tmp_path, FIRST))
    assert "get" not in counting.calls
    assert_whole(bundle, done.version, tmp_path, files=len(FIRST))


def test_a_version_comes_back_by_how_its_name_begins(bundle: Bundle, tmp_path: Path) -> None:
    versions = [bundle.delivery().upload(folder(tmp_path, files)).version for files in (FIRST, SECOND)]
    before = bundle.stored()
    assert bundle.delivery().go_back(versions[0][:8]).is_new
    assert current(bundle.delivery()) == versions[0]
    assert bundle.stored() == before  # nothing but the pointer was written
    assert [each.version for each in bundle.delivery().pointer().entries] == [versions[0], versions[1], versions[0]]
    assert not bundle.delivery().go_back(versions[0]).is_new


def test_a_version_that_never_was_or_is_gone_cannot_come_back(bundle: Bundle, tmp_path: Path) -> None:
    first, second = (bundle.delivery().upload(folder(tmp_path, files)).version for files in (FIRST, SECOND))
    with pytest.raises(Refused, match="no version"):
        bundle.delivery().go_back("0000")
    bundle.s3.delete_object(Bucket=bundle.bucket, Key=f"bundles/dags/manifests/{first}")
    with pytest.raises(Refused, match="cannot come back"):
        bundle.delivery().go_back(first)
    assert current(bundle.delivery()) == second


def test_after_a_current_manifest_was_lost_all_files_are_uploaded_again(bundle: Bundle, tmp_path: Path) -> None:
    first = bundle.delivery().upload(folder(tmp_path, FIRST)).version
    bundle.s3.delete_object(Bucket=bundle.bucket, Key=f"bundles/dags/manifests/{first}")
    assert bundle.delivery().upload(folder(tmp_path, SECOND)).uploaded == len(SECOND)


def test_a_pointer_that_cannot_be_read_stops_everything(bundle: Bundle, tmp_path: Path) -> None:
    bundle.s3.put_object(Bucket=bundle.bucket, Key="bundles/dags/current.json", Body=b"{}")
    with pytest.raises(Refused, match="pointer cannot be read"):
        bundle.delivery().upload(folder(tmp_path, FIRST))
    assert bundle.stored() == {"bundles/dags/current.json"}


def test_a_file_that_changes_during_the_upload_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    read = folder(tmp_path, FIRST)
    read.places["a.py"].write_text("A = 3\n")
    with pytest.raises(CommandError, match="changed during the upload"):
        bundle.delivery().upload(read)
    assert bundle.delivery().pointer().current is None


def push_several(bundle: Bundle, tmp_path: Path, count: int) -> list[str]:
    made = ({"a.py": f"A = {number}\n", "same.py": "S = 0\n"} for number in range(count))
    return [bundle.delivery().upload(folder(tmp_path, files)).version for files in made]


def test_old_versions_go_and_the_last_ones_and_those_in_use_stay_whole(bundle: Bundle, tmp_path: Path) -> None:
    versions = push_several(bundle, tmp_path, 6)
    assert bundle.later().clean(2, in_use=[versions[1]]) == 3
    kept = [versions[5], versions[4], versions[1]]
    assert [each.version for each in bundle.delivery().pointer().entries] == kept
    store = VersionStore(tmp_path / "kept", limit_bytes=1 << 30)
    source = BundleBucket(bundle.bucket, "dags", client=bundle.s3)
    for version in kept:
        assert (store.hold(version, source, until=time.monotonic() + 30).path / "same.py").read_text() == "S = 0\n"
    # Of each kept version the manifest and a file of its own, the file that all have, and the pointer.
    assert len(bundle.stored()) == 3 * 2 + 1 + 1
    assert bundle.later().clean(2, in_use=[versions[1]]) == 0


def test_versions_that_were_current_lately_stay_whatever_the_report_says(bundle: Bundle, tmp_path: Path) -> None:
    """A run may have begun with one of them since the report was made."""
    push_several(bundle, tmp_path, 4)
    before = bundle.stored()
    assert bundle.delivery().clean(1, in_use=[]) == 0
    assert bundle.stored() == before


def test_a_version_in_use_that_left_the_pointers_list_stays(bundle: Bundle, tmp_path: Path) -> None:
    versions = push_several(bundle, tmp_path, 4)
    pointer = bundle.delivery().pointer()
    shorter = replace(pointer, entries=pointer.entries[:3])  # as after many uploads
    bundle.s3.put_object(Bucket=bundle.bucket, Key="bundles/dags/current.json", Body=shorter.to_bytes())
    bundle.later().clean(1, in_use=[versions[0]])
    assert f"bundles/dags/manifests/{versions[0]}" in bundle.stored()
    assert f"bundles/dags/manifests/{versions[1]}" not in bundle.stored()


def test_an_upload_that_was_under_way_when_versions_were_removed_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """It counts on a file that only an old version had."""
    versions = push_several(bundle, tmp_path, 4)
    racing = Racing(s3=bundle.s3, others=[lambda: bundle.later().clean(1, in_use=[])])
    with pytest.raises(Refused, match="came first"):
        bundle.delivery(racing).upload(folder(tmp_path, {"a.py": "A = 0\n", "same.py": "S = 0\n", "n.py": ""}))
    assert current(bundle.delivery()) == versions[3]


def test_nothing_is_uploaded_while_versions_are_removed_and_everything_once_that_has_broken_off(
    bundle: Bundle, tmp_path: Path
) -> None:
    push_several(bundle, tmp_path, 4)
    removing = Removing(s3=bundle.s3)
    with pytest.raises(ConnectionError):
        bundle.later(removing).clean(1, in_use=[])
    with pytest.raises(Refused, match="being removed: try again, in"):
        bundle.delivery().upload(folder(tmp_path, FIRST))
    later = Delivery(bundle.s3, bundle.bucket, "dags", clock=lambda: time.time() + LATER_S + CLEAN_WITHIN_S + 1)
    assert later.upload(folder(tmp_path, FIRST)).is_new


@dataclass(kw_only=True)
class Removing(Cut):
    """Breaks off before anything is deleted."""

    def delete_objects(self, **_: Any) -> Any:
        raise ConnectionError("cut, on purpose")

    def get_paginator(self, name: str) -> Any:
        return self.s3.get_paginator(name)


class Answering:
    """A stack's version check that says these bundles."""

    def __init__(self, bundles: Bundles | None) -> None:
        self._record = {"bundles": None if bundles is None else [each.to_record() for each in bundles]}

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        return {"Stacks": [{"Outputs": [{"OutputKey": "VersionCheckFunctionName", "OutputValue": "f"}]}]}

    def invoke(self, **_: Any) -> dict[str, Any]:
        return {"Payload": io.BytesIO(json.dumps(self._record).encode())}

    @property
    def stack(self) -> DeployedStack:
        return DeployedStack(name="s", cloudformation=self, functions=self, client=lambda _: self)


def test_after_an_upload_only_versions_go_that_the_scheduler_says_no_run_uses(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A DAG may have moved to another bundle since its run began."""
    versions = push_several(bundle, tmp_path, 4)
    uses = (VersionInUse(version=versions[0], runs=1, tasks=0),)
    reported = Reported(name="another", version="x", since=1.0, in_use=uses)
    behind = Reported(name="dags", version=versions[1], since=1.0)  # the DAG processor has not fetched the newest
    remove_old(bundle.later(), Answering((reported, behind)).stack, "dags", keep=1)
    assert capsys.readouterr().out == "dags: 1 old version removed\n"
    assert [each.version for each in bundle.delivery().pointer().entries] == [versions[3], versions[1], versions[0]]


def test_while_it_is_unknown_which_versions_runs_use_all_stay(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push_several(bundle, tmp_path, 4)
    before = bundle.stored()
    remove_old(bundle.later(), Answering(None).stack, "dags", keep=2)
    assert "old versions stay" in capsys.readouterr().out
    assert bundle.stored() == before
