"""Unit tests of the names by which `make down` says which processes it waits for."""

import pytest

from local.cli.commands import in_words, program_of


@pytest.mark.parametrize(
    ("command", "name", "program"),
    [
        (["/venv/bin/redis-server", "127.0.0.1:6379"], "redis-server", "redis-server"),
        (["/venv/lib/a-program-with-a-long-name", "-D"], "a-program-with-", "a-program-with-a-long-name"),
        (["postgres: walwriter "], "postgres", "postgres"),
        (["postgres: airflow airflow 127.0.0.1(5000) idle"], "postgres", "postgres"),
        (["airflow worker -- LocalExecutor"], "airflow worker", "airflow"),
        ([], "postgres: walwr", "postgres"),  # a zombie
        ([""], "python", "python"),
    ],
)
def test_a_program_has_its_whole_name_and_one_for_all_its_processes(
    command: list[str], name: str, program: str
) -> None:
    assert program_of(command, name=name) == program


def test_a_program_of_several_processes_is_named_once() -> None:
    assert in_words({"redis-server": 1, "postgres": 14}) == "postgres (14 processes), redis-server"
