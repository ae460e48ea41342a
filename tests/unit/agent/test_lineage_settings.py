"""Lineage by the variables of the task definition: off by default, tasks without the key, the sender with it."""

import json
from typing import Any

import pytest

from agent.lineage import install, settings
from agent.lineage.process import NEEDED
from roles.compose import ROLES, compose
from roles.errors import ConfigurationError
from tests.unit.agent.test_entrypoint import GIVEN

SECRET = {"endpoint": "https://lineage.example.com/base/", "headers": {"Authorization": "Bearer the-key"}}


def composed(role: str, **changes: str) -> dict[str, str]:
    return compose(ROLES[role], {**GIVEN, **changes}).environment


def sender(secret: Any) -> dict[str, str]:
    return settings.sender_settings({settings.RECEIVER: secret if isinstance(secret, str) else json.dumps(secret)})


@pytest.mark.parametrize("role", sorted(ROLES))
def test_without_a_namespace_no_role_has_a_setting_of_the_provider(role: str) -> None:
    assert not install.is_wanted(composed(role, LINEAGE_NAMESPACE="", LINEAGE_RECEIVER=""))


@pytest.mark.parametrize("role", sorted(ROLES.keys() - {"runner"}))
def test_only_the_role_that_runs_tasks_loads_the_provider(role: str) -> None:
    assert not install.is_wanted(composed(role))


def test_tasks_tell_lineage_of_this_environment_into_the_folder() -> None:
    found = composed("runner")
    assert found["AIRFLOW__OPENLINEAGE__NAMESPACE"] == "airflow-prd"
    assert json.loads(found["AIRFLOW__OPENLINEAGE__TRANSPORT"]) == {"type": "agent.lineage.outbox.Outbox"}
    assert install.is_wanted(found)


def test_an_environment_can_narrow_what_is_told() -> None:
    lines = "AIRFLOW__OPENLINEAGE__DISABLED_FOR_OPERATORS=some.Operator\nAIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT=1"
    found = composed("runner", TASK_SETTINGS=lines)
    assert found["AIRFLOW__OPENLINEAGE__DISABLED_FOR_OPERATORS"] == "some.Operator"
    assert found["AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT"] == "1"


def test_other_settings_of_the_provider_load_it_nowhere_else() -> None:
    given = composed("scheduler", TASK_SETTINGS="AIRFLOW__OPENLINEAGE__DISABLED_FOR_OPERATORS=some.Operator")
    assert not install.is_wanted(given)


def test_an_environment_can_name_a_receiver_of_its_own() -> None:
    line = 'AIRFLOW__OPENLINEAGE__TRANSPORT={"type": "console"}'
    assert install.is_wanted(composed("runner", LINEAGE_NAMESPACE="", TASK_SETTINGS=line))


def test_the_key_is_in_no_role_but_the_worker() -> None:
    holding = {role for role in ROLES if any("Bearer secret" in value for value in composed(role).values())}
    assert holding == {"worker"}


def test_the_sender_gets_none_of_the_worker_s_passwords() -> None:
    assert settings.URL in NEEDED
    assert not [name for name in NEEDED if name.startswith("AIRFLOW__") or "BROKER" in name]


def test_documents_go_to_the_path_of_the_specification_below_the_endpoint() -> None:
    found = settings.receiver_of(sender(SECRET))
    assert found.url == "https://lineage.example.com/base/api/v1/lineage"
    assert found.headers == SECRET["headers"]


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ("no JSON the-key", "LINEAGE_RECEIVER is no JSON object"),
        (["the-key"], "LINEAGE_RECEIVER is no JSON object"),
        ({"headers": {"a": "the-key"}}, "the endpoint of LINEAGE_RECEIVER is no URL"),
        ({"endpoint": "ftp://the-key.example.com"}, "must be http"),
        ({"endpoint": "https://the-key@example.com"}, "must be http"),
        ({**SECRET, "headers": {"a": "the-key\nb"}}, "names and texts of one line"),
        ({**SECRET, "headers": {"a": "the-key ☃"}}, "ASCII"),
        ({**SECRET, "the-key": 1}, "has 1 fields besides endpoint and headers"),
    ],
)
def test_a_bad_secret_is_one_line_without_what_it_holds(secret: Any, said: str) -> None:
    text = secret if isinstance(secret, str) else json.dumps(secret)
    with pytest.raises(ConfigurationError, match=said) as refused:
        composed("worker", LINEAGE_RECEIVER=text)
    assert "the-key" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_receiver_without_a_namespace_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="LINEAGE_RECEIVER needs LINEAGE_NAMESPACE"):
        composed("worker", LINEAGE_NAMESPACE="")
