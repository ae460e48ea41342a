"""Whether a deployment is refused because its environment sleeps, and when a release has arrived."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.delivery.gate import has_arrived, refuse_if_asleep
from ops.delivery.release import Refused
from ops.deployed import FunctionFailed, Record
from tests.support.releases import SECOND
from tests.support.version_verdict import CODE, ODD
from version_check.verdict import Gap, Reference, Verdict


def test_an_environment_that_sleeps_is_refused_with_what_to_do() -> None:
    with pytest.raises(Refused) as refused:
        refuse_if_asleep("prd", ask=lambda: {"status": "asleep"}, say=pytest.fail)
    assert str(refused.value) == "prd is asleep: run make wake ENV=prd first"


@pytest.mark.parametrize("status", ["in_sync", "out_of_sync", "unknown"])
def test_one_that_is_awake_is_not(status: str) -> None:
    refuse_if_asleep("prd", ask=lambda: {"status": status}, say=pytest.fail)


@pytest.mark.parametrize(
    "error",
    [
        FunctionFailed("the version check failed: SERVICES is missing"),
        KeyError("VersionCheckFunctionName"),
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Invoke"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_check_that_does_not_answer_is_told_and_refuses_nothing(error: Exception) -> None:
    def look() -> Record:
        raise error

    said: list[str] = []
    refuse_if_asleep("prd", ask=look, say=said.append)
    assert said == [f"the version check failed, so it is unknown whether prd sleeps; continuing: {error!r}"]


OLD_WORKER = replace(ODD, is_draining=True)
ROLLS = Gap(who="worker", why="a deployment is rolling out: ...", is_draining_only=True)


def checked(version: str = SECOND.version, *, asleep: bool = False, **found: Any) -> Record:
    """Return the record of a verdict with these differences and gaps."""
    reference = None if asleep else Reference(member="t1/webserver", code=replace(CODE, image_version=version))
    found = {name: tuple(values) for name, values in ({"out_of_sync": (), "unknown": ()} | found).items()}
    return Verdict(at=1000.0, reference=reference, compared=6, is_asleep=asleep, **found).to_record()


def test_a_release_has_arrived_when_all_run_it_or_only_old_workers_that_drain_do_not() -> None:
    assert has_arrived(checked(), SECOND)
    assert has_arrived(checked(out_of_sync=[OLD_WORKER]), SECOND)
    assert has_arrived(checked(out_of_sync=[OLD_WORKER], unknown=[ROLLS]), SECOND)
    assert has_arrived(checked(unknown=[ROLLS]), SECOND)  # a deployment of the same image


@pytest.mark.parametrize(
    "record",
    [
        checked("1.0.0"),
        checked("1.0.0", out_of_sync=[OLD_WORKER]),
        checked("1.0.0", unknown=[ROLLS]),
        checked(out_of_sync=[ODD]),
        checked(out_of_sync=[OLD_WORKER, replace(OLD_WORKER, role="flower", pool=None)]),
        checked(unknown=[ROLLS, replace(ROLLS, who="long", is_draining_only=False)]),
        checked(out_of_sync=[OLD_WORKER], unknown=[Gap(who="worker", why="its deployment failed: ")]),
        checked(out_of_sync=[OLD_WORKER], unknown=[Gap(who="t3/worker", why="runs but does not report")]),
        checked(asleep=True),
    ],
)
def test_it_has_not_otherwise(record: Record) -> None:
    assert not has_arrived(record, SECOND)
