"""Saved queries of CloudWatch Logs Insights: what one looks for in the logs of tasks and containers."""

from collections.abc import Sequence
from dataclasses import dataclass

from troposphere import Ref, Sub, Template
from troposphere.logs import LogGroup, QueryDefinition

from fleet.member import CONSUMING, DRAINED, DRAINING, STOPPED

# agent.runner.log_copy writes both. It cannot be imported here; a test compares.
MARK, END = "airflow-task", "end of the log"
_TASKS = f'filter log = "{MARK}"'
_NAMES = "dag_id, run_id, task_id, map_index, try_number"


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """`name` follows the stack's name. `is_of_all`: it asks the service `airflow` as well, not the workers alone."""

    name: str
    text: str
    is_of_all: bool = False


QUERIES = {
    "FailedTasks": LogQuery(
        name="failed tasks",
        text=f"fields @timestamp, {_NAMES}, errors, seconds, @logStream | {_TASKS} and errors > 0 "
        "| sort @timestamp desc | limit 200",
    ),
    "SlowestTasks": LogQuery(
        name="slowest tasks",
        text=f'{_TASKS} and message = "{END}" '
        "| stats max(seconds) as longest, avg(seconds) as average, count(*) as tries by dag_id, task_id "
        "| sort longest desc | limit 50",
    ),
    "ErrorsByDag": LogQuery(
        name="errors by DAG",
        text=f'{_TASKS} and message = "{END}" and errors > 0 '
        "| stats sum(errors) as lines, count(*) as tries by dag_id, bin(1h) as hour | sort tries desc",
    ),
    "OneRun": LogQuery(
        name="one run",
        text=f"fields time, task_id, map_index, try_number, level, message, error, @logStream | {_TASKS} "
        'and dag_id = "DAG" and run_id = "RUN" | sort time asc | limit 10000',
    ),
    "Drains": LogQuery(
        name="drains",
        text="fields @timestamp, @logStream, @message "
        f"| filter @message like /fleet: ({CONSUMING}|{DRAINING}|{DRAINED}|{STOPPED})/ "
        "| sort @timestamp desc | limit 1000",
    ),
    "Troubles": LogQuery(
        name="troubles of containers",
        text="fields @timestamp, @logStream, @message | filter @message like /fleet:|events:|unhealthy:/ "
        "| sort @timestamp desc | limit 1000",
        is_of_all=True,
    ),
}


def add_log_queries(t: Template, *, airflow: LogGroup, workers: Sequence[LogGroup]) -> None:
    for title, query in QUERIES.items():
        groups = [*workers, airflow] if query.is_of_all else workers
        t.add_resource(
            QueryDefinition(
                f"LogQuery{title}",
                Name=Sub(f"${{AWS::StackName}}/{query.name}"),
                LogGroupNames=[Ref(group) for group in groups],
                QueryString=query.text,
            )
        )
