"""Airflow's settings that the image or the stack must decide itself, each with the reason."""

from __future__ import annotations

PREFIX = "AIRFLOW__"
COMMAND = "_CMD"

_CONNECTED = "the stack connects its database, broker and webserver itself, with passwords that it generates"
_SIGN_IN = "the stack makes the sign-in"
_CODE = "the version check compares the folders of the image"
_LOGS = "logs go to the stack's bucket, and the webserver reads running tasks' logs from their workers"
_SECRETS = "the parameter ConnectionsPrefix sets it"
_HEALTH = (
    "the container's health check reads the scheduler's heartbeat in the database; a server would be a process more"
)
_LISTEN = "the load balancer and the workers reach the webserver there, and TLS ends at the load balancer"
_SESSION = "the parameter SessionMinutes sets it"
_TELEMETRY = "the parameters AirflowMetrics, TracedRunsPercent and OtlpSecretArn decide it"
_WAIT = "the parameter MaxTaskWaitMinutes sets it"
_CELERY = (
    "workers take Celery's settings from the image only, see airflow_image/roles/celery_settings.py; slots of a worker "
    "are the parameter <Pool>Concurrency"
)
# Without AIRFLOW__.
OWNED = {
    "CORE__EXECUTOR": "the executor gives each pool its share",
    "CORE__PARALLELISM": "it follows from the sizes of the pools",
    "CORE__MIGHT_CONTAIN_DAG_CALLABLE": "it leaves out DAG files whose names are too long for a log",
    **dict.fromkeys(("CORE__DAGS_FOLDER", "CORE__PLUGINS_FOLDER"), _CODE),
    **dict.fromkeys(
        (
            *("CORE__AUTH_MANAGER", "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"),
            *("CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", "CORE__SIMPLE_AUTH_MANAGER_USERS"),
            *("FAB__CONFIG_FILE", "FAB__COOKIE_SECURE", "FAB__COOKIE_SAMESITE", "FAB__SESSION_BACKEND"),
            *("FAB__UPDATE_FAB_PERMS", "FAB__AUTH_ROLE_PUBLIC", "FAB__AUTH_BACKENDS", "FAB__ENABLE_PROXY_FIX"),
        ),
        _SIGN_IN,
    ),
    **dict.fromkeys(
        (
            *("API__SECRET_KEY", "API_AUTH__JWT_SECRET", "CORE__EXECUTION_API_SERVER_URL", "CORE__FERNET_KEY"),
            *("DATABASE__SQL_ALCHEMY_CONN", "DATABASE__SQL_ALCHEMY_CONN_ASYNC"),
            *("DATABASE__SQL_ALCHEMY_CONNECT_ARGS", "DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC"),
        ),
        _CONNECTED,
    ),
    **dict.fromkeys(
        (
            *("LOGGING__BASE_LOG_FOLDER", "LOGGING__REMOTE_BASE_LOG_FOLDER", "LOGGING__REMOTE_LOG_CONN_ID"),
            *("LOGGING__REMOTE_LOGGING", "LOGGING__REMOTE_TASK_HANDLER_KWARGS"),
            *("LOGGING__TRIGGER_LOG_SERVER_PORT", "LOGGING__WORKER_LOG_SERVER_PORT", "CORE__HOSTNAME_CALLABLE"),
        ),
        _LOGS,
    ),
    **dict.fromkeys(
        (
            *("SECRETS__BACKEND", "SECRETS__BACKEND_KWARGS"),
            *("WORKERS__SECRETS_BACKEND", "WORKERS__SECRETS_BACKEND_KWARGS"),
        ),
        _SECRETS,
    ),
    **dict.fromkeys(("API__HOST", "API__PORT", "API__SSL_CERT", "API__SSL_KEY"), _LISTEN),
    **dict.fromkeys(
        (
            *("SCHEDULER__ENABLE_HEALTH_CHECK", "SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST"),
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT",
        ),
        _HEALTH,
    ),
    **dict.fromkeys(
        ("API_AUTH__JWT_EXPIRATION_TIME", "FAB__SESSION_LIFETIME_MINUTES", "FAB__SESSION_MAX_LIFETIME_MINUTES"),
        _SESSION,
    ),
    **dict.fromkeys(
        ("METRICS__LEGACY_NAMES_ON", "METRICS__OTEL_ON", "METRICS__OTEL_PREFIX", "TRACES__OTEL_ON"),
        _TELEMETRY,
    ),
    **dict.fromkeys(("SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES", "SCHEDULER__TASK_QUEUED_TIMEOUT"), _WAIT),
}
_OWNED_SECTIONS = {
    "CELERY": _CELERY,
    "CELERY_BROKER_TRANSPORT_OPTIONS": _CONNECTED,
    "CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS": _CONNECTED,
}
# Of the section celery: what the scheduler's executor reads.
_FREE = {"CELERY__OPERATION_TIMEOUT", "CELERY__TASK_PUBLISH_MAX_RETRIES"}


def why_owned(name: str) -> str | None:
    """Return why a setting `AIRFLOW__SECTION__OPTION` is not an environment's to decide; None if it is."""
    own = name.removeprefix(PREFIX)
    if own.endswith(COMMAND):
        return "the value would be the output of a command, which every container would run"
    for spelling in (own, own.removesuffix("_SECRET")):
        if reason := OWNED.get(spelling):
            return reason
    return None if own in _FREE else _OWNED_SECTIONS.get(own.partition("__")[0])
