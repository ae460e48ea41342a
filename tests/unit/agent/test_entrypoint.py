"""Unit tests of the entrypoint: each role's program and environment."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from agent import variables
from agent.gates import other_workers, other_workers_unless_newer
from agent.variables import WORKER_MODULES
from fleet.pools import PoolsError
from fleet.work import DEFAULT_LIMITS
from roles import main as entrypoint
from roles.celery_settings import RESULTS_SOCKETS
from roles.compose import RAW_SECRETS, ROLES, compose
from roles.errors import ConfigurationError, MissingVariablesError
from roles.log_paths import RUN_ID_PATTERN

PROGRAM = Path(__file__).parents[3] / "airflow_image" / "entrypoint"
POOLS = [
    {"name": "worker", "service": "w", "queues": ["default"], "min": 1, "max": 10, "concurrency": 16},
    {"name": "long", "queues": ["long", "longer"], "min": 0, "max": 3, "concurrency": 4},
]
GIVEN = {
    "DATABASE_HOST": "database.internal",
    "DATABASE_PORT": "5432",
    "DATABASE_NAME": "airflow",
    "DATABASE_SSLMODE": "verify-full",
    "DATABASE_AUTHORITIES": "authorities/rds.pem",
    "DATABASE_USER": "airflow",
    "DATABASE_PASSWORD": "p@ss:w/r%d $HOME",
    "BROKER_HOST": "broker.internal",
    "BROKER_PORT": "6379",
    "BROKER_SCHEME": "rediss",
    "BROKER_USER": "worker-default",
    "BROKER_PASSWORD": "token",
    "BROKER_READER_USER": "reader",
    "BROKER_READER_PASSWORD": "reader token",
    "FERNET_SECRET": "0123456789abcdefghijklmnopqrstuv",
    "API_SECRET": "api-secret",
    "JWT_SECRET": "jwt-secret",
    "ADMIN_PASSWORD": "admin-secret",
    "USER_PASSWORDS": '{"ada": "ada-secret"}',
    "OTLP_RECEIVER": '{"endpoint": "https://otlp.example.com", "headers": {"api-key": "otlp secret"}}',
    "LINEAGE_RECEIVER": '{"endpoint": "https://lineage.example.com", "headers": {"Authorization": "Bearer secret"}}',
    "LINEAGE_NAMESPACE": "airflow-prd",
    "EXECUTION_API_URL": "http://webserver.stack.internal:8080/execution/",
    "LOG_BUCKET": "bucket",
    "POOLS": json.dumps(POOLS),
    "WORKER_SIZES": '{"worker":{"cpu":2048,"memory":8192,"disk":21,"base":1,"spot":0}}',
    "WORKER_PROCESSOR": "ARM64",
    "POOL": "worker",
    "SHARED_FOLDER": "/opt/shared",
    "PORT": "8080",
    "PUBLIC_PORT": "8081",
    "CPU_UNITS": "4096",
    "MEMORY_MIB": "3768",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "ECS_AGENT_URI": "http://169.254.170.2/api/1",
    "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/1",
    "IMAGE_VERSION": "1.2.3",
    "CLEAN_KEEP_DAYS": "365",
    "EVENT_BUS": "arn:aws:events:us-east-1:123456789012:event-bus/default",
    "STACK_NAME": "airflow",
    "BASE_URL": "https://airflow.example.com",
    "PATH": "/usr/bin",
}
FLOWER_CONFIGURATION = PROGRAM.parent / "agent" / "flower_configuration.py"
DATABASE = "airflow:p%40ss%3Aw%2Fr%25d%20%24HOME@database.internal:5432/airflow"
AUTHORITIES = PROGRAM.parent / "authorities" / "rds.pem"
DATABASE_URL = f"postgresql+psycopg2://{DATABASE}?sslmode=verify-full&sslrootcert={quote(str(AUTHORITIES), safe='')}"
EVERY_ROLE = list(ROLES)
FLEET_ROLES = [name for name in EVERY_ROLE if name not in ("runner", "gate", "migrate", "clean", "drill")]


def composed(role: str, **changes: str) -> dict[str, str]:
    return compose(ROLES[role], {**GIVEN, **changes}).environment


def command(role: str, **changes: str) -> str:
    return " ".join(compose(ROLES[role], {**GIVEN, **changes}).argv)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin"}
    )


def test_there_is_a_role_for_every_container_of_the_template() -> None:
    assert set(ROLES) == {
        *("webserver", "scheduler", "dag-processor", "triggerer", "forecaster", "events"),
        *("worker", "runner", "flower", "gate", "migrate", "clean"),
        "drill",  # in place of `clean`, by a call of RunTask
    }


@pytest.mark.parametrize("arguments", [(), ("celery",), ("worker", "worker"), ("--help",)])
def test_an_unknown_role_prints_the_roles_and_exits_64(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 64
    assert len(ended.stderr.splitlines()) == 1
    assert all(role in ended.stderr for role in ROLES)


def test_missing_variables_are_named_in_one_line_and_exit_78() -> None:
    ended = run("migrate")
    assert ended.returncode == 78
    assert ended.stderr == (
        "entrypoint migrate: missing or empty variables: ADMIN_PASSWORD, DATABASE_AUTHORITIES, DATABASE_HOST, "
        "DATABASE_NAME, DATABASE_PASSWORD, DATABASE_PORT, DATABASE_SSLMODE, DATABASE_USER\n"
    )


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_an_empty_variable_counts_as_missing(role: str) -> None:
    name = ROLES[role].parts[0].needs[0]
    with pytest.raises(MissingVariablesError) as refused:
        composed(role, **{name: ""})
    assert refused.value.names == [name]


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        ("webserver", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", DATABASE_URL),
        ("webserver", "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN", RUN_ID_PATTERN),
        ("scheduler", "AIRFLOW__SCHEDULER__ALLOWED_RUN_ID_PATTERN", RUN_ID_PATTERN),
        ("dag-processor", "AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE", "roles.dag_files.might_contain_dag"),
        ("webserver", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC", f"postgresql+asyncpg://{DATABASE}"),
        ("webserver", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC", "roles.database_async.ARGUMENTS"),
        (
            "worker",
            "AIRFLOW__CELERY__RESULT_BACKEND",
            "agent.results:StateBackend+rediss://worker-default:token@broker.internal:6379/0?ssl_cert_reqs=required",
        ),
        ("worker", "AIRFLOW__LOGGING__BASE_LOG_FOLDER", "/opt/shared/logs"),
        ("runner", "AIRFLOW__LOGGING__BASE_LOG_FOLDER", "/opt/shared/logs"),
        ("scheduler", "AIRFLOW__CORE__EXECUTOR", "agent.executor.FleetExecutor"),
        (
            "worker",
            "AIRFLOW__CELERY__BROKER_URL",
            "rediss://worker-default:token@broker.internal:6379/0?ssl_cert_reqs=required",
        ),
        ("flower", "AIRFLOW__CELERY__SSL_ACTIVE", "True"),
        ("flower", "AIRFLOW__CELERY__SSL_MUTUAL_TLS", "False"),
        ("triggerer", "AIRFLOW__CORE__FERNET_KEY", base64.urlsafe_b64encode(GIVEN["FERNET_SECRET"].encode()).decode()),
        ("webserver", "AIRFLOW__API__SECRET_KEY", "api-secret"),
        ("scheduler", "AIRFLOW__API_AUTH__JWT_SECRET", "jwt-secret"),
        ("runner", "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", GIVEN["EXECUTION_API_URL"]),
        ("runner", "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER", "s3://bucket/logs"),
        ("webserver", "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID", "aws_default"),
        ("webserver", "AIRFLOW_CONN_AWS_DEFAULT", "aws://"),
        ("webserver", "AIRFLOW__CORE__AUTH_MANAGER", "sign_in.manager.SignInManager"),
        ("webserver", "AIRFLOW__FAB__CONFIG_FILE", str(PROGRAM.parent / "sign_in" / "webserver_config.py")),
        ("webserver", "AIRFLOW__FAB__SESSION_BACKEND", "database"),
        ("webserver", "AIRFLOW__FAB__SESSION_LIFETIME_MINUTES", "480"),
        ("webserver", "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME", "28800"),
        ("webserver", "AIRFLOW__FAB__COOKIE_SECURE", "False"),
        ("webserver", "AIRFLOW__FAB__UPDATE_FAB_PERMS", "False"),
        ("migrate", "AIRFLOW__CORE__AUTH_MANAGER", "sign_in.manager.SignInManager"),
        ("migrate", "AIRFLOW__FAB__UPDATE_FAB_PERMS", "True"),
        ("migrate", "SIGN_IN_ADMIN_PASSWORD", "admin-secret"),
        ("migrate", "SIGN_IN_USER_PASSWORDS", '{"ada": "ada-secret"}'),
        ("webserver", "AIRFLOW__API__WORKERS", "4"),
        # 10 workers of 16 slots and 3 of 4, and 20,000 tasks that wait for a slot of their pool
        ("scheduler", "AIRFLOW__CORE__PARALLELISM", "20172"),
        ("scheduler", "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY", "512"),
        ("scheduler", "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT", "315360000"),
        ("scheduler", "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES", "0"),
        ("scheduler", "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL", "30"),
        ("scheduler", "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "False"),
        ("scheduler", "AIRFLOW__CELERY__SYNC_PARALLELISM", "1"),
        ("runner", "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "1"),
        # 59 waits of at least 5 s between 60 attempts: a webserver may be away for 295 s
        ("runner", "AIRFLOW__WORKERS__EXECUTION_API_RETRIES", "60"),
        # Both count it; a supervisor gives up after three heartbeats, each of so many attempts.
        ("runner", "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT", "600"),
        ("scheduler", "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT", "600"),
        ("runner", "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN", "5"),
        ("runner", "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX", "10"),
        ("worker", "FLEET_QUEUES", "default"),
        ("worker", "FLEET_SLOTS", "16"),
        ("flower", "FLOWER_BASIC_AUTH", "admin:admin-secret"),
        ("migrate", "AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT", "-1"),
        ("dag-processor", "AIRFLOW__CORE__EXECUTOR", "CeleryExecutor"),
        ("dag-processor", "AIRFLOW__CORE__LOAD_EXAMPLES", "False"),
        ("triggerer", "FLEET_ROLE", "triggerer"),
        ("forecaster", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", DATABASE_URL),
        ("forecaster", "FLEET_POOL_OF_QUEUE", '{"default":"worker","long":"long","longer":"long"}'),
        ("forecaster", "FORECAST_MINUTES", "15"),
        ("forecaster", "FORECAST_RUNS", "10"),
        ("forecaster", "WORK_LIMITS", DEFAULT_LIMITS),
        ("forecaster", "FORECAST_WINDOW_S", "30"),
        ("forecaster", "WORKER_PROCESSOR", "ARM64"),
    ],
)
def test_a_role_gets_what_its_program_reads(role: str, name: str, value: str) -> None:
    assert composed(role)[name] == value


def test_authorities_may_lie_anywhere_in_the_image() -> None:
    url = composed("migrate", DATABASE_AUTHORITIES="/etc/ssl/own.crt")["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert url.endswith("?sslmode=verify-full&sslrootcert=%2Fetc%2Fssl%2Fown.crt")


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("worker", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"),
        ("flower", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"),
        ("worker", "AIRFLOW__CORE__FERNET_KEY"),
        ("worker", "AIRFLOW__API_AUTH__JWT_SECRET"),
        ("runner", "ECS_AGENT_URI"),
        ("dag-processor", "AIRFLOW__API_AUTH__JWT_SECRET"),
        ("flower", "AIRFLOW__CORE__FERNET_KEY"),
        ("forecaster", "AIRFLOW__CORE__FERNET_KEY"),
        ("forecaster", "AIRFLOW__API_AUTH__JWT_SECRET"),
        ("events", "AIRFLOW__CORE__FERNET_KEY"),
        ("events", "AIRFLOW__API_AUTH__JWT_SECRET"),
        ("migrate", "AIRFLOW__CELERY__BROKER_URL"),
        ("clean", "AIRFLOW__CELERY__BROKER_URL"),
        ("clean", "AIRFLOW__CORE__FERNET_KEY"),
        ("webserver", "AIRFLOW__CELERY__RESULT_BACKEND"),
        ("webserver", "FLOWER_BASIC_AUTH"),
        ("webserver", "SIGN_IN_ADMIN_PASSWORD"),
        ("scheduler", "SIGN_IN_ADMIN_PASSWORD"),
    ],
)
def test_a_role_does_not_get_a_secret_that_it_does_not_need(role: str, name: str) -> None:
    assert name not in composed(role)


@pytest.mark.parametrize("days", ["0", "-1", "1.5", "a year", "²"])
def test_the_database_is_not_cleaned_of_what_a_number_of_days_below_one_names(days: str) -> None:
    with pytest.raises(ConfigurationError, match=r"CLEAN_KEEP_DAYS is .* not a number of days from 1 on"):
        composed("clean", CLEAN_KEEP_DAYS=days)


def test_the_role_that_runs_tasks_gets_no_secret() -> None:
    environment = compose(ROLES["runner"], GIVEN).environment
    held = [
        name for name, value in environment.items() if any(GIVEN[s] in value for s in RAW_SECRETS - {"DATABASE_USER"})
    ]
    assert held == []


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_no_raw_secret_reaches_a_program(role: str) -> None:
    assert {
        *("DATABASE_USER", "DATABASE_PASSWORD", "BROKER_PASSWORD", "BROKER_READER_PASSWORD", "FERNET_SECRET"),
        *("API_SECRET", "JWT_SECRET", "ADMIN_PASSWORD", "USER_PASSWORDS", "OTLP_RECEIVER", "LINEAGE_RECEIVER"),
    } == RAW_SECRETS
    assert not RAW_SECRETS & composed(role).keys()


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_no_secret_is_on_a_command_line(role: str) -> None:
    argv = command(role)
    assert not [name for name in RAW_SECRETS - {"DATABASE_USER"} if GIVEN[name] in argv]


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("webserver", "python -m agent.web"),
        ("scheduler", "airflow scheduler"),
        ("dag-processor", "airflow dag-processor"),
        ("triggerer", "airflow triggerer --skip-serve-logs"),  # its log server is agent.log_files
        ("worker", "python -m agent.start_worker"),
        ("runner", "python -m agent.runner"),
        ("flower", f"airflow celery flower --hostname 0.0.0.0 --port 8080 --flower-conf {FLOWER_CONFIGURATION}"),
        ("migrate", "python -m sign_in.migrate"),
        ("clean", "python -m agent.cleaning"),
        ("drill", "python -m agent.drill"),
        # With less priority than the scheduler, which shares its processor.
        ("forecaster", "nice -n 10 python -m agent.forecaster"),
        ("events", "nice -n 10 python -m agent.events"),
        ("gate", "true"),
    ],
)
def test_a_role_runs_its_program(role: str, expected: str) -> None:
    assert command(role) == expected


@pytest.mark.parametrize(("role", "port"), [("worker", "8793"), ("triggerer", "8794")])
def test_the_log_server_listens_on_the_port_that_the_webserver_asks(role: str, port: str) -> None:
    assert composed(role)[variables.LOG_SERVER_PORT] == port
    setting = {"worker": "WORKER_LOG_SERVER_PORT", "triggerer": "TRIGGER_LOG_SERVER_PORT"}[role]
    assert composed(role, **{f"AIRFLOW__LOGGING__{setting}": "1234"})[variables.LOG_SERVER_PORT] == "1234"


def test_the_log_server_of_a_triggerer_serves_the_folder_that_airflow_writes_to() -> None:
    assert composed("triggerer", AIRFLOW_HOME="/opt/airflow")[variables.LOG_FOLDER] == "/opt/airflow/logs"


def test_a_worker_has_the_queues_and_slots_of_its_pool() -> None:
    given = composed("worker", POOL="long")
    assert (given[variables.QUEUES], given[variables.SLOTS]) == ("long,longer", "4")


@pytest.mark.parametrize(("minutes", "limit_s"), [("0", "315360000"), ("", "315360000"), ("90", "5400")])
def test_a_task_waits_without_limit_unless_one_is_set(minutes: str, limit_s: str) -> None:
    given = composed("scheduler", MAX_TASK_WAIT_MINUTES=minutes)
    assert given["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"] == limit_s


@pytest.mark.parametrize("role", ["webserver", "scheduler", "dag-processor", "triggerer", "runner"])
def test_links_begin_with_the_address_at_which_people_open_airflow(role: str) -> None:
    site = "https://airflow.example.com"
    assert composed(role, BASE_URL=site)["AIRFLOW__API__BASE_URL"] == site
    own = "https://proxy.example.com"
    assert composed(role, BASE_URL=site, TASK_SETTINGS=f"AIRFLOW__API__BASE_URL={own}")["AIRFLOW__API__BASE_URL"] == own
    assert "AIRFLOW__API__BASE_URL" not in composed(role, BASE_URL="")


MAIL_SETTINGS = {
    "AIRFLOW__EMAIL__EMAIL_BACKEND": "airflow.providers.amazon.aws.utils.emailer.send_email",
    "AIRFLOW__EMAIL__EMAIL_CONN_ID": "aws_default",
    "AIRFLOW__EMAIL__FROM_EMAIL": "airflow@example.com",
}


@pytest.mark.parametrize("role", ["dag-processor", "triggerer", "runner"])
def test_who_runs_callbacks_sends_mail_through_ses_where_there_is_a_sender(role: str) -> None:
    given = composed(role, MAIL_FROM="airflow@example.com")
    assert {name: value for name, value in given.items() if name.startswith("AIRFLOW__EMAIL__")} == MAIL_SETTINGS
    assert not [name for name in composed(role, MAIL_FROM="") if name.startswith("AIRFLOW__EMAIL__")]
    own = composed(role, MAIL_FROM="airflow@example.com", TASK_SETTINGS="AIRFLOW__EMAIL__FROM_EMAIL=a@example.com")
    assert own["AIRFLOW__EMAIL__FROM_EMAIL"] == "a@example.com"


LARGE_XCOMS = {"XCOM_BUCKET": "xcoms", "XCOM_PREFIX": "worker", "XCOM_THRESHOLD_KIB": "64"}
BACKEND = "AIRFLOW__CORE__XCOM_BACKEND"


def test_who_reads_xcoms_reads_large_ones_where_there_is_a_bucket() -> None:
    for role in ("dag-processor", "triggerer", "runner"):
        assert composed(role, **LARGE_XCOMS)[BACKEND] == "agent.large_xcoms.LargeXCom"
        assert composed(role, XCOM_BUCKET="xcoms")[BACKEND] == "agent.large_xcoms.LargeXCom"
        assert BACKEND not in composed(role)
        own = composed(role, **LARGE_XCOMS, TASK_SETTINGS=f"{BACKEND}=teams.XCom")
        assert own[BACKEND] == "teams.XCom"
    # The webserver shows what the database has, and the scheduler reads none.
    assert [role for role in ("webserver", "scheduler", "worker") if BACKEND in composed(role, **LARGE_XCOMS)] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"XCOM_THRESHOLD_KIB": "-1"}, "XCOM_THRESHOLD_KIB is '-1', not a number of KiB"),
        ({"XCOM_THRESHOLD_KIB": "some"}, "XCOM_THRESHOLD_KIB is 'some', not a number of KiB"),
        ({"XCOM_PREFIX": ""}, "XCOM_THRESHOLD_KIB needs XCOM_PREFIX"),
    ],
)
def test_what_large_xcoms_need_is_checked_before_any_task(change: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        composed("runner", **{**LARGE_XCOMS, **change})


@pytest.mark.parametrize("role", ["webserver", "scheduler", "worker", "flower", "clean"])
def test_no_one_else_is_told_how_to_send_mail(role: str) -> None:
    given = composed(role, MAIL_FROM="airflow@example.com")
    assert not [name for name in given if name.startswith("AIRFLOW__EMAIL__")]


def test_an_operators_own_setting_beats_a_default() -> None:
    assert composed("scheduler", AIRFLOW__CORE__PARALLELISM="7")["AIRFLOW__CORE__PARALLELISM"] == "7"


@pytest.mark.parametrize(
    ("cpu", "memory_mib", "expected"),
    [
        ("256", "235", "1"),  # too small, but the operator's choice
        ("1024", "942", "1"),
        ("1536", "3768", "1"),
        ("2048", "942", "2"),
        ("4096", "942", "2"),  # (942 - 100) / 337
        ("4096", "1884", "4"),
        ("16384", "3768", "10"),
    ],
)
def test_the_webserver_has_a_process_for_each_vcpu_if_its_memory_suffices(
    cpu: str, memory_mib: str, expected: str
) -> None:
    assert composed("webserver", CPU_UNITS=cpu, MEMORY_MIB=memory_mib)["AIRFLOW__API__WORKERS"] == expected


def test_an_operators_own_number_of_processes_beats_the_default_if_it_fits() -> None:
    assert composed("webserver", AIRFLOW__API__WORKERS="10")["AIRFLOW__API__WORKERS"] == "10"


def test_an_operators_forecast_settings_reach_the_forecaster() -> None:
    assert composed("forecaster", FORECAST_RUNS="20")["FORECAST_RUNS"] == "20"


def test_an_operators_own_setting_does_not_beat_a_secret() -> None:
    assert composed("webserver", AIRFLOW__CORE__FERNET_KEY="mine")["AIRFLOW__CORE__FERNET_KEY"] != "mine"


def test_an_operators_own_celery_configuration_keeps_the_fleets_modules() -> None:
    own = json.dumps({"worker_max_tasks_per_child": 5, "imports": ["mine"]})
    config = composed("worker", AIRFLOW__CELERY__EXTRA_CELERY_CONFIG=own)["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"]
    assert json.loads(config) == {
        "worker_max_tasks_per_child": 5,
        "imports": [*WORKER_MODULES, "mine"],
        "result_backend_always_retry": True,
        "result_backend_max_retries": 120,
        "result_serializer": "json",
        "result_accept_content": ["json"],
        "broker_channel_error_retry": True,
        "worker_consumer": "agent.consumer:PatientConsumer",
        "worker_enable_prefetch_count_reduction": False,
        **RESULTS_SOCKETS,
    }


def test_a_result_waits_for_the_broker_as_long_as_the_patience_says() -> None:
    config = composed("worker", BROKER_PATIENCE_MINUTES="2")["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"]
    assert json.loads(config)["result_backend_max_retries"] == 24


def test_an_operators_own_result_settings_override_the_default_patience() -> None:
    own = json.dumps({"result_backend_max_retries": 5})
    config = composed("worker", AIRFLOW__CELERY__EXTRA_CELERY_CONFIG=own)["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"]
    assert json.loads(config)["result_backend_max_retries"] == 5


def test_a_scheduler_sends_a_message_again_for_as_long_as_the_broker_is_away() -> None:
    environment = composed("scheduler", AIRFLOW__CELERY__EXTRA_CELERY_CONFIG='{"task_acks_late": true}')
    config = json.loads(environment["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    assert config.pop("task_publish_retry_policy")["max_retries"] is None
    assert config == {"task_acks_late": True, **RESULTS_SOCKETS}


def test_a_broker_without_tls_gets_no_tls_settings() -> None:
    environment = composed("worker", BROKER_SCHEME="redis")
    assert environment["AIRFLOW__CELERY__BROKER_URL"] == "redis://worker-default:token@broker.internal:6379/0"
    assert "AIRFLOW__CELERY__SSL_ACTIVE" not in environment


@pytest.mark.parametrize(
    ("role", "name", "value", "why"),
    [
        ("worker", "BROKER_SCHEME", "http", "BROKER_SCHEME is 'http', not redis or rediss"),
        ("triggerer", "FERNET_SECRET", "short", "FERNET_SECRET is not 32 ASCII characters long"),
        ("triggerer", "FERNET_SECRET", "ü" * 32, "FERNET_SECRET is not 32 ASCII characters long"),
        ("flower", "ADMIN_PASSWORD", "a,b", "ADMIN_PASSWORD contains a comma"),
        ("worker", "POOL", "other", "POOL is 'other', and POOLS declares only worker, long"),
        ("worker", "BROKER_PATIENCE_MINUTES", "long", "BROKER_PATIENCE_MINUTES is not a number"),
        ("scheduler", "BROKER_PATIENCE_MINUTES", "long", "BROKER_PATIENCE_MINUTES is not a number"),
        ("scheduler", "MAX_TASK_WAIT_MINUTES", "1.5", "MAX_TASK_WAIT_MINUTES is not a whole number"),
        ("worker", "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG", "[", "EXTRA_CELERY_CONFIG must be a JSON object"),
        ("worker", "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG", '{"imports": "x"}', "and its imports a list"),
        ("forecaster", "FORECAST_MINUTES", "61", "FORECAST_MINUTES is '61', not a number from 0 to 60"),
        ("forecaster", "FORECAST_MINUTES", "1.5", "FORECAST_MINUTES is '1.5', not a number"),
        ("runner", "TASK_LOG_COPY", "some", "TASK_LOG_COPY is 'some', not one of none, errors, all"),
        ("events", "EVENT_BUS", "default", "EVENT_BUS is 'default', not the ARN of an event bus"),
        ("forecaster", "FORECAST_RUNS", "nan", "FORECAST_RUNS is 'nan', not a number"),
        ("forecaster", "FORECAST_RUNS", "many", "FORECAST_RUNS is 'many', not a number"),
        ("forecaster", "WORK_LIMITS", "RunFailures=0", "WORK_LIMITS: 'RunFailures=0' is not like WindowMinutes="),
        ("forecaster", "FORECAST_WINDOW_S", "901", "FORECAST_WINDOW_S is '901', not a number from 1 to 900"),
        ("forecaster", "WORKER_SIZES", "{", "WORKER_SIZES: it is not JSON"),
        (
            "forecaster",
            "WORKER_SIZES",
            '{"worker": {"cpu": "2"}}',
            "WORKER_SIZES: the size of the workers of pool worker",
        ),
        ("forecaster", "WORKER_PROCESSOR", "sparc", "WORKER_PROCESSOR is 'sparc', not X86_64 or ARM64"),
        ("webserver", "SESSION_MINUTES", "soon", "SESSION_MINUTES is 'soon', not a number of minutes"),
        ("webserver", "MEMORY_MIB", "4 GB", "MEMORY_MIB is '4 GB', not a number"),
        ("webserver", "AIRFLOW__API__WORKERS", "12", "AIRFLOW__API__WORKERS is 12, and 3768 MiB suffice for 1 to 10"),
        ("webserver", "AIRFLOW__API__WORKERS", "0", "AIRFLOW__API__WORKERS is 0, and 3768 MiB"),
        ("scheduler", "POOLS", "{", "POOLS is not JSON"),
        ("scheduler", "POOLS", "[]", "at least one pool"),
        ("scheduler", "POOLS", "[1]", "not an object"),
        ("worker", "POOLS", json.dumps([POOLS[0], POOLS[0]]), "two pools have the same name"),
    ],
)
def test_an_invalid_value_is_refused_with_the_reason(role: str, name: str, value: str, why: str) -> None:
    with pytest.raises((ConfigurationError, PoolsError), match=why.replace("(", r"\(")):
        composed(role, **{name: value})


class Executed(Exception):
    """The program that the entrypoint would become."""


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, object]:
    """Run the entrypoint's main until it becomes the program; return that and the processes that it started."""
    seen: dict[str, object] = {"home": tmp_path}

    def execute(_file: str, argv: list[str], environment: dict[str, str]) -> None:
        seen.update(argv=argv, environment=environment)
        raise Executed

    # The triggerer's log server listens on a fixed port: a stack on this machine has it on other addresses.
    address = f"127.66.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
    monkeypatch.setattr(os, "environ", {**GIVEN, "AIRFLOW_HOME": str(tmp_path), "BIND_HOST": address})
    monkeypatch.setattr(os, "execvpe", execute)
    monkeypatch.setattr(entrypoint, "read_task_arn", lambda _: "arn:aws:ecs:eu-central-1:1:task/cluster/abc")
    monkeypatch.setattr(subprocess, "Popen", lambda argv, **_: seen.update(reporter=argv))
    monkeypatch.setattr(
        "roles.gate.take_turn", lambda rule, environment, **more: seen.update(rule=rule, waited=environment, **more)
    )
    return seen


@pytest.mark.parametrize("role", FLEET_ROLES)
def test_a_member_of_the_fleet_knows_its_task(become: dict[str, object], role: str) -> None:
    with pytest.raises(Executed):
        entrypoint.main([role])
    environment = become["environment"]
    assert isinstance(environment, dict)
    assert environment["FLEET_TASK_ARN"].endswith("task/cluster/abc")


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_every_long_running_role_but_the_worker_gets_a_reporter(become: dict[str, object], role: str) -> None:
    with pytest.raises(Executed):
        entrypoint.main([role])
    assert ("reporter" in become) == (
        role not in ("scheduler", "events", "worker", "runner", "gate", "migrate", "clean", "drill")
    )


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_only_roles_that_could_queue_new_tasks_wait_for_their_turn(become: dict[str, object], role: str) -> None:
    with pytest.raises(Executed):
        entrypoint.main([role])
    rules = {"gate": other_workers_unless_newer, "scheduler": other_workers, "dag-processor": other_workers}
    assert become.get("rule") is rules.get(role)


def test_a_scheduler_waits_for_a_quarter_of_an_hour_unless_it_is_told_otherwise(become: dict[str, object]) -> None:
    with pytest.raises(Executed):
        entrypoint.main(["scheduler"])
    assert become["limit_s"] == 15 * 60


@pytest.mark.parametrize("name", ["GATE_MINUTES", "ROLLOUT_PATIENCE_MINUTES"])
def test_a_limit_that_is_no_number_is_refused(
    become: dict[str, object], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(os.environ, name, "soon")
    assert entrypoint.main(["gate"]) == 78


@pytest.mark.parametrize("role", EVERY_ROLE)
def test_only_what_signs_people_in_loads_the_auth_manager(role: str) -> None:
    assert ("AIRFLOW__CORE__AUTH_MANAGER" in composed(role)) == (role in ("webserver", "migrate", "drill"))


def test_a_session_ends_when_the_environment_says() -> None:
    environment = composed("webserver", SESSION_MINUTES="30", HAS_TLS="true")
    assert environment["AIRFLOW__FAB__SESSION_LIFETIME_MINUTES"] == "30"
    assert environment["AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME"] == "1800"
    assert environment["AIRFLOW__FAB__SESSION_MAX_LIFETIME_MINUTES"] == "30"
    assert environment["AIRFLOW__FAB__COOKIE_SECURE"] == "True"


PROVIDER = {
    "OIDC_ISSUER": "https://login.example.com",
    "OIDC_CLIENT_ID": "airflow",
    "OIDC_CLIENT_SECRET": "client-secret",
    "BASE_URL": "https://airflow.example.com",
    "ROLE_MAPPING": '{"leads": "Admin"}',
}


def test_a_provider_reaches_the_webserver() -> None:
    environment = composed("webserver", **PROVIDER)
    assert {name: environment[name] for name in PROVIDER} == PROVIDER
    assert environment["AIRFLOW__API__BASE_URL"] == "https://airflow.example.com"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("OIDC_CLIENT_ID", "", "OIDC_ISSUER needs OIDC_CLIENT_ID"),
        ("OIDC_CLIENT_SECRET", "", "OIDC_ISSUER needs OIDC_CLIENT_SECRET"),
        ("BASE_URL", "", "OIDC_ISSUER needs BASE_URL"),
        ("ROLE_MAPPING", "{", "ROLE_MAPPING: it is not JSON"),
        ("ROLE_MAPPING", '{"leads": 1}', "ROLE_MAPPING: group leads has neither a role nor a list of roles"),
    ],
)
def test_a_provider_without_what_it_needs_stops_the_webserver(name: str, value: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        composed("webserver", **{**PROVIDER, name: value})


SETTINGS = {
    "TASK_SETTINGS": "AIRFLOW__CORE__DEFAULT_TASK_RETRIES=2\n\nAIRFLOW__SMTP__SMTP_HOST=smtp = a\n",
    "AIRFLOW_SETTINGS": "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY=16\n",
}


def test_a_setting_of_the_environment_overrides_the_images_and_the_roles_own() -> None:
    environment = composed("scheduler", AIRFLOW__CORE__DEFAULT_TASK_RETRIES="1", **SETTINGS)
    assert environment["AIRFLOW__CORE__DEFAULT_TASK_RETRIES"] == "2"
    assert environment["AIRFLOW__SMTP__SMTP_HOST"] == "smtp = a"
    assert environment["AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY"] == "16"
    assert SETTINGS.keys() & environment.keys() == set()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "AIRFLOW__CORE__EXECUTOR=LocalExecutor",
            "AIRFLOW__CORE__EXECUTOR cannot be set: the executor gives each pool",
        ),
        ("AIRFLOW__CORE__FERNET_KEY=secret-value", "AIRFLOW__CORE__FERNET_KEY cannot be set: the stack connects"),
        ("AIRFLOW__API__INSTANCE_NAME_CMD=id", "AIRFLOW__API__INSTANCE_NAME_CMD cannot be set: the value would be"),
        ("LD_PRELOAD=secret-value", "line 1 is not AIRFLOW__SECTION__OPTION=value"),
        ("AIRFLOW__A__B=1\nAIRFLOW__A__B=2", "line 2: AIRFLOW__A__B is there twice"),
    ],
)
def test_a_setting_that_is_not_an_environments_stops_the_container(line: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^TASK_SETTINGS: ") as caught:
        composed("runner", TASK_SETTINGS=line)
    assert said in str(caught.value)
    assert "secret-value" not in str(caught.value)


def test_a_webserver_does_not_start_with_a_faulty_role_of_a_machine() -> None:
    name = "MACHINE_ROLES"
    line = "Op: aws=arn:aws:iam::111122223333:role/a"
    assert composed("webserver", **{name: line, "MACHINE_AUDIENCE": "here"})[name] == line
    with pytest.raises(ConfigurationError, match=r"^MACHINE_ROLES: line 1 has neither issuer= nor aws=$"):
        composed("webserver", **{name: "Op: sub=ci"})
