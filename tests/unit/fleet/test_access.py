"""The rules of the broker's users."""

import pytest

from fleet import access
from fleet.access import User

POOLS = {"worker": ("default",), "sql": ("sql", "reports")}
USERS = {user.name: user for user in access.users(POOLS)}
ADMINISTRATION = {
    *(
        "acl",
        "config",
        "debug",
        "flushall",
        "flushdb",
        "keys",
        "monitor",
        "shutdown",
        "save",
        "bgsave",
        "script",
        "client",
    ),
    *(
        "cluster",
        "replicaof",
        "migrate",
        "restore",
        "dump",
        "rename",
        "copy",
        "move",
        "swapdb",
        "sort",
        "object",
        "module",
    ),
}
# Containers that run code of DAG authors, or from which such code is a bug away.
EXPOSED = ["worker-worker", "worker-sql", "dag-processor", "triggerer", "flower"]


def test_a_users_rules_stand_in_one_line() -> None:
    user = User(name="u", commands=("get", "set"), keys=("a", "b:*"), channels=("c",))
    assert user.access_string() == "on ~a ~b:* resetchannels &c -@all +get +set"


@pytest.mark.parametrize("user", USERS.values(), ids=list(USERS))
def test_a_user_names_its_commands_and_keys_one_by_one(user: User) -> None:
    assert not ADMINISTRATION & set(user.commands)
    assert not [command for command in user.commands if command.startswith("@")]
    assert not {"*", "fleet:*"} & set(user.keys) or user.name == access.PAGE
    assert "*" not in user.channels
    assert "ping" in user.commands


@pytest.mark.parametrize("name", EXPOSED)
def test_who_runs_foreign_code_touches_no_decision_order_or_forecast(name: str) -> None:
    registry = [key for key in USERS[name].keys if key.startswith("fleet:")]
    role = "worker" if name.startswith("worker-") else name
    pool = name.removeprefix("worker-")
    own = [f"fleet:peaks:{pool}", f"fleet:ends:{pool}"] if role == "worker" else []
    assert registry == [*own, "fleet:members", f"fleet:member:*/{role}"]


@pytest.mark.parametrize("name", [access.READER, access.PAGE])
def test_who_reads_all_members_writes_nothing(name: str) -> None:
    assert set(USERS[name].commands) <= {
        *("get", "hmget", "hvals", "llen", "lrange", "mget", "ping", "time", "zrange", "zscan"),
    }


def test_a_worker_knows_only_its_own_pools_queues() -> None:
    keys = set(USERS["worker-sql"].keys)
    assert {"sql", "sql??3", "reports??9", "unacked:sql", "_kombu.binding.reports"} <= keys
    assert not [key for key in keys if "default" in key or key.endswith(":worker")]


def test_only_who_must_takes_messages() -> None:
    takes = {name for name, user in USERS.items() if "brpop" in user.commands}
    assert takes == {"worker-worker", "worker-sql", "flower"}
    assert not {"default", "sql", "reports"} & set(USERS["flower"].keys)


def test_only_who_must_reaches_celerys_remote_control() -> None:
    reach = {name for name, user in USERS.items() if access.COMMANDS_CHANNEL in user.channels}
    assert reach == {"worker-worker", "worker-sql", "flower", "scheduler"}


@pytest.mark.parametrize("queue", ["", "a b", "a*", "a?", "a[1]", "a\\b", 'a"b'])
def test_a_queue_whose_name_is_a_pattern_is_refused(queue: str) -> None:
    with pytest.raises(ValueError, match="its name has a character that patterns use"):
        access.users({"worker": (queue,)})


def test_a_queue_that_another_pools_pattern_matches_is_refused() -> None:
    with pytest.raises(ValueError, match="queue gpu_v3 is named like a list of pool gpu"):
        access.users({"gpu": ("gpu",), "other": ("gpu_v3",)})


def test_only_the_webserver_remembers_machines_signatures_and_it_reads_and_removes_none() -> None:
    names = {name for name, user in USERS.items() if any(key.startswith("machines:") for key in user.keys)}
    assert names == {access.WEBSERVER}
    assert not {"get", "mget", "scan", "keys"} & set(USERS[access.WEBSERVER].commands)
