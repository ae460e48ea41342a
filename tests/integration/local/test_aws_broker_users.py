"""The local Redis obeys the users of a deployed template, as ElastiCache does."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError

from local.servers.redis import Redis
from tests.support.aws_api import AwsApi, aws_api

STACK = "users"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"), has_users=True).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def api(server: Redis) -> Iterator[AwsApi]:
    with aws_api(broker_administrator=server.url) as found:
        yield found


def user(name: str, rules: str) -> dict[str, Any]:
    password = {"Fn::Sub": f"{{{{resolve:secretsmanager:${{{name}Secret}}}}}}"}
    properties = {"AccessString": rules, "Engine": "redis", "Passwords": [password], "UserId": name, "UserName": name}
    return {"Type": "AWS::ElastiCache::User", "Properties": properties}


def template(**users: str) -> str:
    generated = {"GenerateSecretString": {"PasswordLength": 32, "ExcludePunctuation": True}}
    secrets = {f"{name}Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": generated} for name in users}
    ids = [{"Ref": f"{name}User"} for name in users]
    group = {"Engine": "redis", "UserGroupId": "all", "UserIds": ids}
    replication = {
        "ReplicationGroupDescription": "a broker", "Engine": "redis", "CacheNodeType": "cache.t4g.small",
        "NumCacheClusters": 1, "UserGroupIds": [{"Ref": "Group"}],
    }  # fmt: skip
    resources = {
        **secrets,
        **{f"{name}User": user(name, rules) for name, rules in users.items()},
        "Group": {"Type": "AWS::ElastiCache::UserGroup", "Properties": group},
        "Broker": {"Type": "AWS::ElastiCache::ReplicationGroup", "Properties": replication},
    }
    outputs = {f"{name}Secret": {"Value": {"Ref": f"{name}Secret"}} for name in users}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def signed_in(api: AwsApi, server: Redis, name: str, stack: dict[str, Any]) -> redis.Redis:
    (arn,) = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == f"{name}Secret"]
    password = api.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"]
    return redis.Redis(host=server.host, port=server.port, username=name, password=password)


@pytest.fixture(scope="module")
def deployed(api: AwsApi) -> dict[str, Any]:
    text = template(default="off -@all", one="on ~one:* resetchannels -@all +get +set", two="on ~two:* -@all +get")
    stack = api.carry_out(STACK, text)
    assert stack["StackStatus"] == "CREATE_COMPLETE", stack
    return stack


def test_a_user_may_do_what_its_rules_say(api: AwsApi, server: Redis, deployed: dict[str, Any]) -> None:
    with signed_in(api, server, "one", deployed) as client:
        assert client.set("one:key", "value")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("two:key", "value")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.delete("one:key")


def test_the_user_default_cannot_sign_in(api: AwsApi, server: Redis, deployed: dict[str, Any]) -> None:
    with signed_in(api, server, "default", deployed) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_the_api_tells_rules_and_never_passwords(api: AwsApi, deployed: dict[str, Any]) -> None:
    assert deployed
    (found,) = api.client("elasticache").describe_users(UserId="two")["Users"]
    assert (found["AccessString"], found["UserGroupIds"]) == ("on ~two:* -@all +get", ["all"])
    assert found["Authentication"] == {"Type": "password", "PasswordCount": 1}


def test_a_user_may_have_two_passwords_during_a_rotation(api: AwsApi, server: Redis, deployed: dict[str, Any]) -> None:
    with signed_in(api, server, "one", deployed) as client:
        client.get("one:key")
        old = client.connection_pool.connection_kwargs["password"]
        api.client("elasticache").modify_user(UserId="one", Passwords=[old, "the-new-password-of-one"])
        for password in (old, "the-new-password-of-one"):
            with redis.Redis(host=server.host, port=server.port, username="one", password=password) as other:
                other.get("one:key")
        api.client("elasticache").modify_user(UserId="one", Passwords=[old])


def test_a_user_group_needs_a_user_default(api: AwsApi, deployed: dict[str, Any]) -> None:
    assert deployed
    with pytest.raises(ClientError, match="DefaultUserRequired"):
        api.client("elasticache").create_user_group(UserGroupId="some", Engine="redis", UserIds=["one"])


def test_rules_that_redis_does_not_take_fail_the_deployment(api: AwsApi, deployed: dict[str, Any]) -> None:
    assert deployed
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        api.client("elasticache").modify_user(UserId="two", AccessString="on ~two:* +nosuchcommand")


def test_an_update_changes_rules_in_place_and_removes_users(
    api: AwsApi, server: Redis, deployed: dict[str, Any]
) -> None:
    text = template(default="off -@all", one="on ~one:* resetchannels -@all +get +set +del")
    stack = api.carry_out(STACK, text, kind="UPDATE")
    assert stack["StackStatus"] == "UPDATE_COMPLETE", stack
    with signed_in(api, server, "one", deployed) as client:
        assert client.set("one:key", "value")
        assert client.delete("one:key") == 1
    with server.client() as administrator:
        assert administrator.acl_users() == ["administrator", "default", "one"]
