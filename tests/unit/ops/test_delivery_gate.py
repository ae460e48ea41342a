"""Whether a deployment is refused because its environment sleeps."""

import pytest
from botocore.exceptions import ClientError

from ops.delivery.gate import refuse_if_asleep
from ops.delivery.release import Refused
from ops.deployed import FunctionFailed, Record


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
