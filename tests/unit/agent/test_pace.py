"""How often a task's supervisor sends heartbeats, by the task's age."""

import pytest

from agent.runner.pace import LONGEST_S, interval_s


@pytest.mark.parametrize(
    ("age_s", "timeout_s", "expected"),
    [
        (0, 300, 5),
        (9, 300, 5),
        (20, 300, 10),
        (49, 300, 24.5),
        (3600, 300, 25),
        # An operator's shorter timeout: eight heartbeats fit into it.
        (3600, 80, 10),
        (0, 16, 2),
    ],
)
def test_heartbeats_become_rarer_with_the_age_of_a_task(age_s: float, timeout_s: float, expected: float) -> None:
    assert interval_s(age_s, timeout_s=timeout_s) == expected


def test_a_task_s_token_is_renewed_before_it_ends() -> None:
    shortest_time_to_renew_s = 30  # Airflow's JWTReissueMiddleware: a fifth of the token's life, at least 30 s
    assert shortest_time_to_renew_s > LONGEST_S
