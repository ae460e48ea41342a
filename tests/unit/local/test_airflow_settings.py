"""Settings of an environment are held against Airflow's own options before anything is deployed, one line a fault."""

import pytest

from local.stack.airflow_settings import AIRFLOW, TASKS, options, setting_faults
from roles.compose import ROLES
from roles.owned_settings import OWNED, PREFIX, why_owned
from tests.unit.agent.test_entrypoint import GIVEN


@pytest.mark.parametrize(
    ("title", "line", "said"),
    [
        (AIRFLOW, "AIRFLOW__API__INSTANCE_NAME=dev: a=b", None),
        (AIRFLOW, "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY=16", None),
        (AIRFLOW, "AIRFLOW__CELERY__OPERATION_TIMEOUT=2.5", None),
        (TASKS, "AIRFLOW__CORE__DEFAULT_TASK_RETRIES=2", None),
        (TASKS, "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD=1000", None),
        (TASKS, "AIRFLOW__SMTP__SMTP_STARTTLS=False", None),
        (TASKS, "AIRFLOW__SENTRY__SENTRY_DSN_SECRET=sentry", None),
        (
            *(AIRFLOW, "AIRFLOW__SCHEDULER__MAX_TI_PER_QUERY=16"),
            "AIRFLOW__SCHEDULER__MAX_TI_PER_QUERY is no option of the image's Airflow and providers; "
            "the nearest is AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY",
        ),
        (AIRFLOW, "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY=many", "must be of the type integer"),
        (AIRFLOW, "AIRFLOW__CELERY__OPERATION_TIMEOUT=soon", "must be of the type float"),
        (TASKS, "AIRFLOW__SMTP__SMTP_STARTTLS=on", "must be of the type boolean"),
        (AIRFLOW, "AIRFLOW__WEBSERVER__INSTANCE_NAME=dev", "is deprecated: write AIRFLOW__API__INSTANCE_NAME"),
        (AIRFLOW, "AIRFLOW__WEBSERVER__ACCESS_LOGFILE=-", "is deprecated: write AIRFLOW__API__LOG_CONFIG"),
        (AIRFLOW, "AIRFLOW__METRICS__OTEL_HOST=h", "is deprecated, and nothing replaces it"),
        (AIRFLOW, "AIRFLOW__CORE__EXECUTOR=LocalExecutor", "cannot be set: the executor gives each pool its share"),
        (AIRFLOW, "AIRFLOW__CELERY__WORKER_CONCURRENCY=4", "are the parameter <Pool>Concurrency"),
        (AIRFLOW, "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT=9", "the parameter MaxTaskWaitMinutes sets it"),
        (AIRFLOW, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD=curl", "every container would run"),
        (AIRFLOW, "AIRFLOW__CORE__FERNET_KEY_SECRET=mine", "cannot be set: the stack connects"),
        (
            *(TASKS, "AIRFLOW__SENTRY__SENTRY_DSN=https://key@example.com/1"),
            "holds a secret: write AIRFLOW__SENTRY__SENTRY_DSN_SECRET=NAME, and its value into the secret "
            "<ConnectionsPrefix>/config/NAME",
        ),
        (
            TASKS,
            "AIRFLOW__SMTP__SMTP_HOST_SECRET=host",
            "for its sensitive options only: write AIRFLOW__SMTP__SMTP_HOST",
        ),
        (AIRFLOW, "AIRFLOW__SMTP__SMTP_HOST=h", "is read by tasks, too: write it into TaskSettings"),
        (AIRFLOW, "SOMETHING=else", "line 1 is not AIRFLOW__SECTION__OPTION=value"),
    ],
)
def test_a_setting_is_taken_or_refused_in_one_line(title: str, line: str, said: str | None) -> None:
    faults = setting_faults({title: f"{line}\n", "ConnectionsPrefix": "airflow/dev"})
    assert len(faults) == (said is not None)
    if said is not None:
        assert said in faults[0]
        assert faults[0].startswith(f"{title}: ")
        assert "example.com" not in faults[0]  # never a value that may be a secret
        assert "\n" not in faults[0]


def test_a_secret_needs_the_prefix_below_which_it_is() -> None:
    (fault,) = setting_faults({TASKS: "AIRFLOW__SENTRY__SENTRY_DSN_SECRET=sentry"})
    assert fault.endswith("names a secret, and the parameter ConnectionsPrefix is empty")


def test_each_fault_has_a_line_of_its_own() -> None:
    text = "AIRFLOW__CORE__EXECUTOR=a\nAIRFLOW__API__NO_SUCH=1\n"
    assert len(setting_faults({AIRFLOW: text})) == 2
    assert setting_faults({TASKS: "AIRFLOW__CORE__A=1\nAIRFLOW__CORE__A=2"}) == [
        "TaskSettings: line 2: AIRFLOW__CORE__A is there twice"
    ]


def test_a_setting_in_both_parameters_and_too_long_ones_are_refused() -> None:
    line = "AIRFLOW__CORE__DEFAULT_TASK_RETRIES=2"
    (fault,) = setting_faults({AIRFLOW: line, TASKS: line})
    assert "is also in TaskSettings" in fault
    long = f"AIRFLOW__API__INSTANCE_NAME={4096 * 'x'}"
    assert setting_faults({AIRFLOW: long}) == ["AirflowSettings has 4,124 bytes, and CloudFormation accepts 4,096"]


def test_what_a_part_gives_as_a_secret_is_no_environments_to_decide() -> None:
    """Otherwise the entrypoint would take it, and then ignore it."""
    all_given = {name for role in ROLES.values() for part in role.parts for name in part.secrets(GIVEN)}
    given = {name for name in all_given if name.startswith(PREFIX)}
    assert given
    assert {name for name in given if why_owned(name) is None} == set()


def test_every_owned_setting_is_one_of_airflow() -> None:
    """Airflow's list leaves out some that its code reads."""
    unlisted = ("CORE__EXECUTION_API_SERVER_URL", "SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES")
    assert {f"{PREFIX}{name}" for name in OWNED if name not in unlisted} <= options().keys()
