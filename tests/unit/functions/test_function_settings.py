"""How the functions read their environment."""

import json
from typing import Any

import pytest

from autoscaler.policy import workers_needed
from autoscaler.settings import SCALE_IN_AFTER_DEFAULT_S, Settings
from fleet.pools import Pool, PoolsError
from fleet.work import DEFAULT_LIMITS
from shared.settings import SettingsError
from sleeper.settings import Settings as SleeperSettings
from version_check.settings import Settings as VersionCheckSettings

POOL: dict[str, Any] = {
    "name": "worker",
    "service": "stack-Worker",
    "queues": ["default"],
    "min": 1,
    "max": 10,
    "concurrency": 16,
}
ENVIRONMENT = {
    "BROKER_HOST": "redis.internal",
    "BROKER_PORT": "6379",
    "BROKER_SCHEME": "rediss",
    "BROKER_USER": "autoscaler",
    "BROKER_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:1:secret:broker",
    "CLUSTER": "cluster",
    "POLL_SECONDS": "15",
    "POOLS": json.dumps([POOL]),
}
VERSION_CHECK = {
    **{name: value for name, value in ENVIRONMENT.items() if name not in ("POLL_SECONDS", "POOLS")},
    "SERVICES": json.dumps({"airflow": "a", "worker": "w", "flower": "f"}),
    "WEBSERVER_URL": "http://webserver.stack.internal:8080/fleet/version",
    "SITE_URL": "https://airflow.example.com",
    "WORK_LIMITS": DEFAULT_LIMITS,
}


def test_the_autoscaler_reads_its_environment() -> None:
    settings = Settings.from_environment(ENVIRONMENT)
    assert settings.pools == (
        Pool(name="worker", service="stack-Worker", queues=("default",), minimum=1, maximum=10, concurrency=16),
    )
    assert (settings.broker.host, settings.broker.port, settings.broker.tls) == ("redis.internal", 6379, True)
    assert settings.policy(settings.pools[0]).scale_in_after_s == SCALE_IN_AFTER_DEFAULT_S
    assert Settings.from_environment({**ENVIRONMENT, "SCALE_IN_AFTER_S": "5"}).scale_in_after_s == 5


@pytest.mark.parametrize(("value", "step"), [(None, None), ("", None), ("3", 3)])
def test_max_step_out_is_unlimited_unless_it_is_given(value: str | None, step: int | None) -> None:
    settings = Settings.from_environment({**ENVIRONMENT, **({} if value is None else {"MAX_STEP_OUT": value})})
    assert settings.policy(settings.pools[0]).max_step_out == step


@pytest.mark.parametrize(("value", "boots"), [(None, 0.0), ("", 0.0), ("0", 0.0), ("100", 1.0)])
def test_boots_race_only_where_raced_boots_percent_says_so(value: str | None, boots: float) -> None:
    settings = Settings.from_environment({**ENVIRONMENT, **({} if value is None else {"RACED_BOOTS_PERCENT": value})})
    assert settings.policy(settings.pools[0]).boots_per_task == boots


@pytest.mark.parametrize(("value", "share"), [(None, 0.05), ("", 0.05), ("0", 0.0), ("20", 0.2)])
def test_races_may_cost_a_twentieth_unless_the_budget_says_otherwise(value: str | None, share: float) -> None:
    budget = {} if value is None else {"RACING_BUDGET_PERCENT": value}
    settings = Settings.from_environment({**ENVIRONMENT, **budget})
    assert settings.policy(settings.pools[0]).racing_budget == share


@pytest.mark.parametrize(("value", "seconds"), [(None, 1800), ("", 1800), ("5", 300)])
def test_new_workers_have_half_an_hour_unless_the_autoscaler_is_told_otherwise(
    value: str | None, seconds: float
) -> None:
    patience = {} if value is None else {"ROLLOUT_PATIENCE_MINUTES": value}
    assert Settings.from_environment({**ENVIRONMENT, **patience}).rollout_patience_s == seconds


@pytest.mark.parametrize(
    ("poll_seconds", "ticks"),
    [(15, 4), (60, 1), (5, 12), (25, 3), (1, 60)],  # 25: at 0, 25, 50
)
def test_ticks_fill_the_minute_until_the_next_invocation(poll_seconds: int, ticks: int) -> None:
    assert Settings.from_environment({**ENVIRONMENT, "POLL_SECONDS": str(poll_seconds)}).ticks == ticks


@pytest.mark.parametrize("name", ENVIRONMENT)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_a_missing_variable_is_named(name: str, value: str | None) -> None:
    environment = {key: val for key, val in {**ENVIRONMENT, name: value}.items() if val is not None}
    with pytest.raises(SettingsError, match=f"{name} is missing"):
        Settings.from_environment(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BROKER_PORT", "none"),
        ("BROKER_PORT", "0"),
        ("BROKER_SCHEME", "http"),
        ("POLL_SECONDS", "0"),
        ("POLL_SECONDS", "61"),
        ("POLL_SECONDS", "1.5"),
        ("SCALE_IN_AFTER_S", "-1"),
        ("MAX_STEP_OUT", "0"),
        ("RACED_BOOTS_PERCENT", "some"),
        ("RACING_BUDGET_PERCENT", "-1"),
        ("ROLLOUT_PATIENCE_MINUTES", "0"),
        ("POOLS", "{"),
        ("POOLS", "[]"),
        ("POOLS", "{}"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises((SettingsError, PoolsError), match=name):
        Settings.from_environment({**ENVIRONMENT, name: value})


@pytest.mark.parametrize("change", [{"service": ""}, {"min": -1}])
def test_a_wrong_pool_is_refused(change: dict[str, Any]) -> None:
    (complaint,) = change
    with pytest.raises(PoolsError, match=f"{complaint} of pool worker"):
        Settings.from_environment({**ENVIRONMENT, "POOLS": json.dumps([{**POOL, **change}])})


def test_a_minimum_above_the_maximum_means_the_maximum_and_other_pools_scale_as_before() -> None:
    other = {**POOL, "name": "other", "service": "stack-Other", "queues": ["other"]}
    pools = json.dumps([{**POOL, "min": 11}, other])
    settings = Settings.from_environment({**ENVIRONMENT, "POOLS": pools})
    needed = [workers_needed(0, settings.policy(pool)) for pool in settings.pools]
    assert needed == [10, 1]


@pytest.mark.parametrize("value", ["[]", '{"worker": ""}', '{"worker": 1}', "nothing"])
def test_the_version_check_wants_services_by_name(value: str) -> None:
    assert VersionCheckSettings.from_environment(VERSION_CHECK).services["worker"] == "w"
    with pytest.raises(SettingsError, match="SERVICES"):
        VersionCheckSettings.from_environment({**VERSION_CHECK, "SERVICES": value})


@pytest.mark.parametrize("value", ["", "webserver:8080", "https://webserver/fleet/version"])
def test_the_version_check_wants_an_address_in_the_network(value: str) -> None:
    with pytest.raises(SettingsError, match="WEBSERVER_URL"):
        VersionCheckSettings.from_environment({**VERSION_CHECK, "WEBSERVER_URL": value})


@pytest.mark.parametrize(("value", "topic"), [(None, None), ("", None), ("arn:topic", "arn:topic")])
def test_an_empty_topic_means_no_notifications(value: str | None, topic: str | None) -> None:
    more = {} if value is None else {"TOPIC_ARN": value}
    assert VersionCheckSettings.from_environment({**VERSION_CHECK, **more}).topic_arn == topic


@pytest.mark.parametrize(
    ("given", "flower"), [({"FLOWER_SERVICE": "f"}, ("f",)), ({"FLOWER_SERVICE": ""}, ()), ({}, ())]
)
def test_the_sleeper_has_flower_only_where_there_is_one(given: dict[str, str], flower: tuple[str, ...]) -> None:
    environment = {
        **ENVIRONMENT,
        "AIRFLOW_SERVICE": "a",
        "DATABASE": "d",
        "ALARM_PREFIX": "p",
        "PATIENCE_MINUTES": "60",
        **given,
    }
    settings = SleeperSettings.from_environment(environment)
    assert settings.services == ("a", *flower, "stack-Worker")
    named = settings.with_names({"a": "a-1", "f": "f-1", "stack-Worker": "w-1"})
    assert named.services == ("a-1", *(f"{name}-1" for name in flower), "w-1")


def test_the_version_check_wants_limits_that_can_be_read() -> None:
    with pytest.raises(SettingsError, match="WORK_LIMITS: 'RunFailures=1' is not like WindowMinutes="):
        VersionCheckSettings.from_environment({**VERSION_CHECK, "WORK_LIMITS": "RunFailures=1"})
