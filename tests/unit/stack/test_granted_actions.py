"""The list of actions that `make demo` does not need: tests/acceptance/test_demo compares a real one with it."""

from __future__ import annotations

import pytest

from tests.support.granted_actions import NOT_IN_A_DEMO, granted, unlisted


def physical(title: str) -> str:
    return f"airflow-local-{title}-0123456789AB"


@pytest.mark.parametrize("role", NOT_IN_A_DEMO)
def test_only_actions_that_a_role_allows_are_listed(role: str) -> None:
    assert NOT_IN_A_DEMO[role] - granted()[role] == frozenset()


def test_an_action_that_is_neither_used_nor_listed_is_named() -> None:
    used = {physical(role): sorted(actions) for role, actions in granted().items()}
    assert unlisted(used) == {}
    used[physical("WorkerTaskRole")].remove("ecs:UpdateTaskProtection")
    used[physical("SleeperRole")].remove("rds:StopDBInstance")
    assert unlisted(used) == {"WorkerTaskRole": {"ecs:UpdateTaskProtection"}}
