"""Whether a deployment is refused because its environment sleeps, and when a release has arrived."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.delivery.gate import has_arrived, refuse_if_asleep
from ops.delivery.release import Refused
from ops.deployed import FunctionFailed, Record
from tests.support.releases import SECOND


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


OLD_WORKER = {"member": "t2/worker", "role": "worker", "pool": "long", "is_draining": True}
ROLLS = {"who": "long", "why": "a deployment is rolling out: 1 of 1 new ECS tasks run, old ECS tasks left: 1"}


def checked(version: str = SECOND.version, *, out_of_sync: Any = (), unknown: Any = ()) -> Record:
    status = "out_of_sync" if out_of_sync else "unknown" if unknown else "in_sync"
    webserver = {"member": "t1/webserver", "image_version": version}
    return {"status": status, "webserver": webserver, "out_of_sync": list(out_of_sync), "unknown": list(unknown)}


def test_a_release_has_arrived_when_all_run_it_or_only_old_workers_that_drain_do_not() -> None:
    assert has_arrived(checked(), SECOND)
    assert has_arrived(checked(out_of_sync=[OLD_WORKER]), SECOND)
    assert has_arrived(checked(out_of_sync=[OLD_WORKER], unknown=[ROLLS]), SECOND)


@pytest.mark.parametrize(
    "record",
    [
        checked("1.0.0"),
        checked("1.0.0", out_of_sync=[OLD_WORKER]),
        checked(unknown=[ROLLS]),  # no old worker explains it
        checked(out_of_sync=[{**OLD_WORKER, "is_draining": False}]),
        checked(out_of_sync=[OLD_WORKER, {**OLD_WORKER, "role": "flower", "pool": None}]),
        checked(out_of_sync=[OLD_WORKER], unknown=[{**ROLLS, "who": "worker"}]),
        checked(out_of_sync=[OLD_WORKER], unknown=[{**ROLLS, "why": "its deployment failed: "}]),
        checked(out_of_sync=[OLD_WORKER], unknown=[{"who": "t3/worker", "why": "it has not reported"}]),
        {**checked(), "status": "asleep", "webserver": None},
    ],
)
def test_it_has_not_otherwise(record: Record) -> None:
    assert not has_arrived(record, SECOND)
