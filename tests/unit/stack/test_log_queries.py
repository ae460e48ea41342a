"""The saved queries ask for what tasks and workers write."""

import re

import pytest

from agent.runner import log_copy
from fleet.member import CONSUMING, DRAINED, DRAINING, STARTING, STOPPED
from stack.sections import log_queries
from stack.sections.logs import TASK_LOG_COPIES
from tests.support import rendered

KEY = log_copy.TaskKey(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
LINE = b'{"timestamp": "x", "level": "error", "event": "e", "error_detail": [{"exc_type": "a", "exc_value": "b"}]}'
OF_TASKS = [title for title, query in log_queries.QUERIES.items() if log_queries.MARK in query.text]


def test_the_queries_name_what_the_copy_of_a_log_writes() -> None:
    assert (log_queries.MARK, log_queries.END) == (log_copy.MARK, log_copy.END)
    assert TASK_LOG_COPIES == log_copy.CHOICES


@pytest.mark.parametrize("title", log_queries.QUERIES)
def test_a_query_is_saved_for_logs_that_exist(title: str) -> None:
    query = rendered.resources("AWS::Logs::QueryDefinition")[f"LogQuery{title}"]
    groups = {group["Ref"] for group in query["LogGroupNames"]}
    assert "WorkerLogGroup" in groups
    assert groups <= rendered.resources("AWS::Logs::LogGroup").keys()
    assert query["Name"]["Fn::Sub"].startswith("${AWS::StackName}/")


@pytest.mark.parametrize("title", OF_TASKS)
def test_a_query_of_tasks_names_fields_that_their_lines_have(title: str) -> None:
    lines = b"".join(log_copy.copied([LINE], KEY, choice=log_copy.ALL)).decode()
    text = re.sub(r'"[^"]*"', "", log_queries.QUERIES[title].text)
    words = set(re.findall(r"(?<![@\w])[a-z_]+(?![\w(])", text))
    syntax = {"fields", "filter", "and", "sort", "desc", "asc", "limit", "stats", "as", "by", "h"}
    results = {"longest", "average", "tries", "hour"}
    assert words - syntax - results <= set(re.findall(r'"(\w+)":', lines))


def test_drains_are_found_by_the_states_that_a_worker_logs() -> None:
    (pattern,) = re.findall(r"like /(.*?)/", log_queries.QUERIES["Drains"].text)
    assert [s for s in (STARTING, CONSUMING, DRAINING, DRAINED, STOPPED) if re.search(pattern, f"fleet: {s}")] == [
        *(CONSUMING, DRAINING, DRAINED, STOPPED)
    ]
