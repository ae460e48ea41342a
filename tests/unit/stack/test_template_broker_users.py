"""The users of the broker in the template: one for each role, with a password and a secret of its own."""

import re
from typing import Any

import pytest
from troposphere import Template

from fleet import access
from stack.sections.broker import ENGINE
from stack.sections.pools import DeclaredPool
from template_gen import POOLS, build
from tests.support import rendered

MAX_USERS_OF_A_GROUP = 100
MAX_ID = 40
DEFAULT = "BrokerUser"
# ElastiCache 7.1 knows no later command, and refuses a user with an unknown one.
SINCE_REDIS_7_2 = {"client|setinfo", "client|no-touch", "waitaof", "expiretime"}


def users() -> dict[str, Any]:
    return rendered.resources("AWS::ElastiCache::User")


DECLARED = access.users({pool.name: pool.queues for pool in POOLS})


def test_the_template_has_the_declared_users_with_their_rules() -> None:
    found = {user["UserName"]: user["AccessString"] for title, user in users().items() if title != DEFAULT}
    assert found == {user.name: user.access_string() for user in DECLARED}


def test_the_user_default_may_do_nothing_unless_a_parameter_keeps_it_on() -> None:
    default = users()[DEFAULT]
    assert default["UserName"] == "default"
    assert default["AccessString"] == {"Fn::If": ["IsBrokerDefaultUserOn", "on ~* &* +@all", "off -@all"]}
    assert rendered.template()["Parameters"]["BrokerDefaultUser"]["Default"] == "false"


def test_the_broker_has_all_users() -> None:
    (group,) = rendered.resources("AWS::ElastiCache::UserGroup").values()
    optional = {"BrokerFlowerUser": "HasFlower", "BrokerEventsUser": "HasEventBus"}
    assert group["UserIds"] == [
        {"Fn::If": [optional[name], {"Ref": name}, {"Ref": "AWS::NoValue"}]} if name in optional else {"Ref": name}
        for name in users()
    ]
    assert len(group["UserIds"]) <= MAX_USERS_OF_A_GROUP


def test_each_user_has_a_generated_secret_that_the_template_only_names() -> None:
    passwords = [user["Passwords"] for user in users().values()]
    secrets = [title.removesuffix("User") + "Secret" for title in users()]
    assert passwords == [[{"Fn::Sub": f"{{{{resolve:secretsmanager:${{{secret}}}}}}}"}] for secret in secrets]
    for secret in secrets:
        assert "GenerateSecretString" in rendered.resources("AWS::SecretsManager::Secret")[secret]


def test_an_id_is_short_enough_for_a_stack_name_of_20_characters() -> None:
    ids = [user["UserId"]["Fn::Sub"].replace("${AWS::StackName}", "s" * 20) for user in users().values()]
    assert max(map(len, ids)) <= MAX_ID
    assert len(set(ids)) == len(ids)


def test_the_ids_and_names_of_earlier_releases_stay() -> None:
    default = users()[DEFAULT]
    assert default["UserId"] == {"Fn::Sub": "${AWS::StackName}-broker"}
    assert default["Passwords"] == [{"Fn::Sub": "{{resolve:secretsmanager:${BrokerSecret}}}"}]
    (group,) = rendered.resources("AWS::ElastiCache::UserGroup").values()
    assert group["UserGroupId"] == {"Fn::Sub": "${AWS::StackName}-brokers"}
    assert {user["Engine"] for user in users().values()} == {ENGINE}


def test_rules_use_only_what_redis_6_2_and_elasticache_know() -> None:
    for user in DECLARED:
        rules = user.access_string()
        assert rules.isascii()
        assert rules.isprintable()
        assert not re.search(r"%R|%W|\(|\breset\b|[><#]|nopass", rules)
        assert not SINCE_REDIS_7_2 & set(user.commands)


def test_each_container_signs_in_as_the_user_of_its_role() -> None:
    found = {
        name: rendered.environment(container).get("BROKER_USER") for name, container in rendered.containers().items()
    }
    assert found == {
        "gate": "reader",
        "migrate": None,
        "clean": None,
        "runner": None,
        **{
            role: role
            for role in ("webserver", "scheduler", "dag-processor", "triggerer", "forecaster", "flower", "events")
        },
        "worker": "worker-worker",
    }


@pytest.fixture(scope="module")
def two_pools() -> Template:
    return build((*POOLS, DeclaredPool(name="heavy-sql", queues=("sql",))))


def test_a_further_pool_gets_a_user_of_its_own(two_pools: Template) -> None:
    user = two_pools.resources["BrokerWorkerHeavySqlUser"].to_dict()["Properties"]
    assert user["UserName"] == "worker-heavy-sql"
    keys = set(user["AccessString"].split())
    assert {"~sql", "~unacked:heavy-sql"} <= keys
    assert not {"~default", "~unacked:worker"} & keys
