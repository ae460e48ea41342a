"""The parts of a role's configuration: the variables that each part reads, and Airflow's settings that it gives."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent import variables
from agent.broker import patience_s
from agent.lineage import settings as lineage
from agent.runner import log_copy
from fleet import access
from fleet.pools import POOLS, find_pool, read_pools, total_slots
from machines.rules import parse_rules
from roles import celery_settings, database
from roles.bundle_settings import bundle_settings
from roles.cost_settings import cost_settings
from roles.errors import ConfigurationError
from roles.forecaster_settings import forecast_settings
from roles.web_processes import MAX_OVERFLOW, PROCESSES, WEB_OVERFLOW, processes
from sign_in import names as sign_in_names
from sign_in.people import MappingError, parse_mapping
from telemetry import settings as telemetry

Variables = Mapping[str, str]
Settings = dict[str, str]

FERNET_SECRET_LENGTH = 32
# A scheduler loop queues at most this many tasks: Airflow's 16 would stretch a burst of 1,000 over a minute.
MAX_TASKS_QUEUED_AT_ONCE = 512
# Tasks that may wait in the executor for a slot of their pool, of all pools together. Only what exceeds this could keep
# another pool's tasks waiting.
MAX_TASKS_WAITING = 20_000
# Airflow fails a task that was queued for longer than its limit; this stands for no limit.
NO_LIMIT_S = 10 * 365 * 86_400
# After a scheduler has stopped without a word, another takes over its tasks within this time, and the 30 s after which
# it counts as gone. Airflow's 300 s are long for tasks that wait in it.
ORPHANS_CHECK_S = 30
# The longest that a supervisor waits, after its task has ended, for what is left to read; agent.runner.pace makes
# the heartbeats of a running task rarer.
MIN_HEARTBEAT_INTERVAL_S = 1
# A task that can neither start nor report its end is lost. Airflow's own attempts end after 4 to 15 s. Where there is
# one webserver and its host is lost, ECS needs some minutes to notice and to start another. These last for at least
# 59 x 5 s and, where each is refused at once, at most 590 s. The waits are random between the two.
EXECUTION_API_ATTEMPTS = 60
EXECUTION_API_WAIT_S = (5, 10)
# A new scheduler starts before running tasks reach the new webserver beside it. With Airflow's 300 s it would take them
# for dead if the webserver had been away for four minutes. A task whose worker is lost is retried after this time.
HEARTBEAT_LIMIT_S = 600
HEARTBEAT_LIMIT = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_LIMIT_S)}
ASYNC_ARGUMENTS = "roles.database_async.ARGUMENTS"  # not imported here: it reads the environment
SECRETS_BACKEND = "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend"
INFINITE_SLOTS = -1
# A message unacknowledged for longer is delivered again, even if its task still runs. This is Airflow's default, set
# because Airflow warns in every process where it is not set.
VISIBILITY_TIMEOUT_S = 86_400
RESULTS_URL_PREFIX = "agent.results:StateBackend+"
ADMIN = sign_in_names.ADMIN
AUTH_MANAGER = {
    "AIRFLOW__CORE__AUTH_MANAGER": "sign_in.manager.SignInManager",
    # Without the file FAB would silently take its own defaults: the auth manager checks that it is there.
    "AIRFLOW__FAB__CONFIG_FILE": str(database.IMAGE / "sign_in" / "webserver_config.py"),
    # In the database, so that a sign-out can end a session.
    "AIRFLOW__FAB__SESSION_BACKEND": "database",
}
BROKER_READER = "BROKER_READER"  # how the variables of the second user begin, who reads what the first may not
BUS_ARN = re.compile(r"arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/[A-Za-z0-9._/-]+")
AWS_CONNECTION = "aws_default"
# Airflow's own defaults. The webserver connects to the ports, by the same settings.
WORKER_LOG_PORT, TRIGGERER_LOG_PORT = "8793", "8794"


@dataclass(frozen=True, kw_only=True)
class Part:
    """`needs` must be set and not empty; `settings` gives defaults, which an operator's own values override.

    `secrets` gives settings that cannot be overridden; `raw` names the variables that must reach no
    program, `hidden` those that must not reach the program of this role.
    """

    needs: tuple[str, ...]
    settings: Callable[[Variables], Settings] = lambda _: {}
    secrets: Callable[[Variables], Settings] = lambda _: {}
    raw: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


def broker_url(given: Variables, *, login: str = "BROKER") -> str:
    """Return the address of the broker as Celery and redis-py read it, with the user whose variables begin so."""
    user, password = (quote(given[f"{login}_{part}"], safe="") for part in ("USER", "PASSWORD"))
    # Not every connection that kombu makes inherits Celery's settings: without the query some would verify nothing.
    query = "?ssl_cert_reqs=required" if given["BROKER_SCHEME"] == "rediss" else ""
    return f"{given['BROKER_SCHEME']}://{user}:{password}@{given['BROKER_HOST']}:{given['BROKER_PORT']}/0{query}"


def fernet_key(secret: str) -> str:
    """Return the Fernet key for a secret of exactly 32 ASCII characters."""
    if len(secret) != FERNET_SECRET_LENGTH or not secret.isascii():
        raise ConfigurationError(f"FERNET_SECRET is not {FERNET_SECRET_LENGTH} ASCII characters long")
    return base64.urlsafe_b64encode(secret.encode()).decode()


def _secret_connections(given: Variables) -> Settings:
    """Let Airflow ask Secrets Manager first, if the task definition names a prefix."""
    prefix = given.get("CONNECTIONS_PREFIX")
    if not prefix:
        return {}
    # Of Airflow's own configuration, only settings whose names end in _SECRET are read from there.
    kwargs = {f"{kind}_prefix": f"{prefix}/{kind}" for kind in ("connections", "variables", "config")}
    return {
        "AIRFLOW__SECRETS__BACKEND": SECRETS_BACKEND,
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(kwargs),
    }


def _mail_settings(given: Variables) -> Settings:
    """Let Airflow's own mails, about tasks with the argument `email`, go through SES, if there is a sender."""
    if not given.get("MAIL_FROM"):
        return {}
    return {
        "AIRFLOW__EMAIL__EMAIL_BACKEND": "airflow.providers.amazon.aws.utils.emailer.send_email",
        "AIRFLOW__EMAIL__EMAIL_CONN_ID": AWS_CONNECTION,
        "AIRFLOW__EMAIL__FROM_EMAIL": given["MAIL_FROM"],
    }


def _xcom_settings(given: Variables) -> Settings:
    """Let Airflow read large XComs from their bucket, and tasks write them, if there is one."""
    if not given.get(variables.XCOM_BUCKET):
        return {}
    threshold = given.get(variables.XCOM_THRESHOLD_KIB) or "0"
    if not (threshold.isascii() and threshold.isdecimal()):
        raise ConfigurationError(f"{variables.XCOM_THRESHOLD_KIB} is {threshold!r}, not a number of KiB")
    if int(threshold) and not given.get(variables.XCOM_PREFIX):
        raise ConfigurationError(f"{variables.XCOM_THRESHOLD_KIB} needs {variables.XCOM_PREFIX}")
    return {"AIRFLOW__CORE__XCOM_BACKEND": "agent.large_xcoms.LargeXCom"}


def _site_settings(given: Variables) -> Settings:
    """Let the links that Airflow makes, in mails for instance, begin with the URL at which people open it."""
    return {"AIRFLOW__API__BASE_URL": given["BASE_URL"]} if given.get("BASE_URL") else {}


def _broker_settings(given: Variables) -> Settings:
    settings = {f"{variables.TRANSPORT_OPTIONS}VISIBILITY_TIMEOUT": str(VISIBILITY_TIMEOUT_S)}
    match given["BROKER_SCHEME"]:
        case "redis":
            return settings
        case "rediss":
            # Flower's own connection to the broker needs these. No CA file: it uses the default trust store.
            return {**settings, "AIRFLOW__CELERY__SSL_ACTIVE": "True", "AIRFLOW__CELERY__SSL_MUTUAL_TLS": "False"}
        case other:
            raise ConfigurationError(f"BROKER_SCHEME is {other!r}, not redis or rediss")


def _unacked_settings(pool: str) -> Settings:
    """Keep unacknowledged messages apart from those of other pools, which the user may not read."""
    names = ("UNACKED_KEY", "UNACKED_INDEX_KEY", "UNACKED_MUTEX_KEY")
    return {
        f"{variables.TRANSPORT_OPTIONS}{name}": key for name, key in zip(names, access.unacked_keys(pool), strict=True)
    }


def _scheduler_settings(given: Variables) -> Settings:
    return {
        "AIRFLOW__CORE__EXECUTOR": "agent.executor.FleetExecutor",
        # Of all queues together. The executor limits each pool by itself, see agent.shares.
        "AIRFLOW__CORE__PARALLELISM": str(total_slots(read_pools(given[POOLS])) + MAX_TASKS_WAITING),
        "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": str(MAX_TASKS_QUEUED_AT_ONCE),
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": str(_longest_wait_s(given) or NO_LIMIT_S),
        "AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES": "0",  # a limit is the limit, not a third of it
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": str(ORPHANS_CHECK_S),
        # Its server is a copy of the scheduler's process, with 94 MB of its own. The container's health check reads the
        # same heartbeat in the database (roles.health).
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # Messages are sent one after the other: a process pool forked for each batch costs more than it sends.
        "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
        **HEARTBEAT_LIMIT,
    }


def _longest_wait_s(given: Variables) -> int:
    """Return for how long a task may be queued before Airflow fails it; 0 for no limit."""
    try:
        return 60 * int(given.get(variables.MAX_TASK_WAIT_MINUTES) or 0)
    except ValueError:
        raise ConfigurationError(f"{variables.MAX_TASK_WAIT_MINUTES} is not a whole number") from None


def _shared_logs(given: Variables) -> Settings:
    """Let the runner write task logs where the worker's log server reads them."""
    return {variables.LOG_FOLDER: f"{given[variables.SHARED_FOLDER]}/logs"}


def _trigger_logs(given: Variables) -> Settings:
    home = given.get(variables.AIRFLOW_HOME) or Path.home() / "airflow"
    return {
        variables.LOG_SERVER_PORT: given.get("AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT", TRIGGERER_LOG_PORT),
        variables.LOG_FOLDER: f"{home}/logs",  # Airflow's own default
    }


def _worker_settings(given: Variables) -> Settings:
    pool = find_pool(read_pools(given[POOLS], with_limits=False), given["POOL"])
    return {
        variables.POOL: pool.name,
        variables.QUEUES: ",".join(pool.queues),
        variables.SLOTS: str(pool.concurrency),
        variables.LOG_SERVER_PORT: given.get("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", WORKER_LOG_PORT),
        **_unacked_settings(pool.name),
        **_shared_logs(given),
    }


def _runner_settings(given: Variables) -> Settings:
    if (choice := given.get(variables.TASK_LOG_COPY) or log_copy.NONE) not in log_copy.CHOICES:
        raise ConfigurationError(f"{variables.TASK_LOG_COPY} is {choice!r}, not one of {', '.join(log_copy.CHOICES)}")
    return {
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": str(MIN_HEARTBEAT_INTERVAL_S),
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": str(EXECUTION_API_ATTEMPTS),
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": str(EXECUTION_API_WAIT_S[0]),
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": str(EXECUTION_API_WAIT_S[1]),
        **HEARTBEAT_LIMIT,  # supervisors pace their heartbeats by it
        **_shared_logs(given),
    }


def _cleaning_settings(given: Variables) -> Settings:
    """Return no setting: the cleaning reads the variable itself, which is checked here."""
    days = given[variables.CLEAN_KEEP_DAYS]
    if not (days.isascii() and days.isdecimal() and int(days) > 0):
        raise ConfigurationError(f"{variables.CLEAN_KEEP_DAYS} is {days!r}, not a number of days from 1 on")
    return {}


def _events_settings(given: Variables) -> Settings:
    """Return no setting: the process reads the variables itself, of which the bus is checked here."""
    bus = given[variables.EVENT_BUS]
    if not BUS_ARN.fullmatch(bus):
        raise ConfigurationError(f"{variables.EVENT_BUS} is {bus!r}, not the ARN of an event bus")
    return {}


def _broker_patience_s(given: Variables) -> float:
    try:
        return patience_s(given)
    except ValueError:
        raise ConfigurationError(f"{variables.BROKER_PATIENCE_MINUTES} is not a number") from None


def _extra_celery_config(given: Variables, patience: Mapping[str, Any], *modules: str) -> Settings:
    own = given.get(variables.EXTRA_CELERY_CONFIG)
    return {variables.EXTRA_CELERY_CONFIG: celery_settings.celery_config(own, patience, modules=modules)}


def _scheduler_secrets(given: Variables) -> Settings:
    _broker_patience_s(given)  # the executor reads it
    return _extra_celery_config(given, celery_settings.SCHEDULER)


def _worker_secrets(given: Variables) -> Settings:
    patience = celery_settings.worker_settings(_broker_patience_s(given))
    return _extra_celery_config(given, patience, *variables.WORKER_MODULES)


def _telemetry_settings(given: Variables) -> Settings:
    try:
        return telemetry.settings(given)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _telemetry_secrets(given: Variables) -> Settings:
    try:
        return telemetry.receiver(given)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _lineage_secrets(given: Variables) -> Settings:
    try:
        found = lineage.sender_settings(given)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if found and not given.get(lineage.NAMESPACE):
        raise ConfigurationError(f"{lineage.RECEIVER} needs {lineage.NAMESPACE}")
    return found


def _machine_roles(given: Variables) -> Settings:
    """Check the rules, which the application itself would fail to read without ending the webserver."""
    try:
        parse_rules(given.get(variables.MACHINE_ROLES, ""), audience=given.get(variables.MACHINE_AUDIENCE, ""))
    except ValueError as error:
        raise ConfigurationError(f"{variables.MACHINE_ROLES}: {error}") from None
    return {}


def _flower_secrets(given: Variables) -> Settings:
    if "," in given["ADMIN_PASSWORD"]:
        raise ConfigurationError("ADMIN_PASSWORD contains a comma, which Flower reads as a separator of users")
    return {"FLOWER_BASIC_AUTH": f"{ADMIN}:{given['ADMIN_PASSWORD']}"}


def _session_settings(given: Variables) -> Settings:
    """Let tokens, cookies and sessions end at the same age."""
    _check_provider(given)
    text = given.get("SESSION_MINUTES") or str(sign_in_names.DEFAULT_SESSION_MINUTES)
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"SESSION_MINUTES is {text!r}, not a number of minutes")
    return {
        **AUTH_MANAGER,
        "AIRFLOW__FAB__SESSION_LIFETIME_MINUTES": text,
        "AIRFLOW__FAB__SESSION_MAX_LIFETIME_MINUTES": text,  # counted from the sign-in
        "AIRFLOW__API_AUTH__JWT_EXPIRATION_TIME": str(60 * int(text)),
        "AIRFLOW__FAB__COOKIE_SAMESITE": "Lax",
        "AIRFLOW__FAB__COOKIE_SECURE": str(given.get("HAS_TLS") == "true"),
        # Seconds for which a process goes on with the roles that it has read of a user.
        "AIRFLOW__FAB__CACHE_TTL": "5",
        # `migrate` does it, before any webserver: several at once would contradict each other.
        "AIRFLOW__FAB__UPDATE_FAB_PERMS": "False",
    }


def _check_provider(given: Variables) -> None:
    """Raise ConfigurationError if the sign-in with a provider lacks something. It reads these variables itself."""
    if not given.get(sign_in_names.OIDC_ISSUER):
        return
    needed = (sign_in_names.OIDC_CLIENT_ID, sign_in_names.OIDC_CLIENT_SECRET, "BASE_URL")
    if missing := sorted(name for name in needed if not given.get(name)):
        raise ConfigurationError(f"OIDC_ISSUER needs {', '.join(missing)}")
    try:
        parse_mapping(given.get(sign_in_names.ROLE_MAPPING, ""))
    except MappingError as error:
        raise ConfigurationError(f"ROLE_MAPPING: {error}") from None


def _passwords(given: Variables) -> Settings:
    return {
        sign_in_names.ADMIN_PASSWORD: given["ADMIN_PASSWORD"],
        sign_in_names.USER_PASSWORDS: given.get("USER_PASSWORDS", ""),
    }


def _secret(name: str, *, setting: str, convert: Callable[[str], str] = str) -> Part:
    """Return the part that gives the secret variable `name` to Airflow as `setting`."""
    return Part(needs=(name,), secrets=lambda given: {setting: convert(given[name])}, raw=(name,))


DATABASE_SECRETS = ("DATABASE_USER", "DATABASE_PASSWORD")

DATABASE = Part(
    needs=database.VARIABLES,
    # Airflow would derive the second address from the first one, whose query asyncpg does not understand.
    settings=lambda _: {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS_ASYNC": ASYNC_ARGUMENTS},
    secrets=lambda given: {
        variables.DATABASE_URL: database.sync_url(given),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database.async_url(given),
    },
    raw=DATABASE_SECRETS,
)
NEW_DATABASE = Part(
    needs=(),
    # Airflow's 128 slots in default_pool would limit all pools together. Read only when the database is created.
    settings=lambda _: {"AIRFLOW__CORE__DEFAULT_POOL_TASK_SLOT_COUNT": str(INFINITE_SLOTS)},
)
CONNECTIONS = Part(needs=(), settings=_secret_connections)
BUNDLES = Part(needs=(), settings=bundle_settings)
SITE = Part(needs=(), settings=_site_settings)
MAIL = Part(needs=(), settings=_mail_settings)
XCOMS = Part(needs=(), settings=_xcom_settings)
BROKER = Part(
    needs=("BROKER_HOST", "BROKER_PORT", "BROKER_SCHEME", "BROKER_USER", "BROKER_PASSWORD"),
    settings=_broker_settings,
    secrets=lambda given: {variables.BROKER_URL: broker_url(given)},
    raw=("BROKER_PASSWORD",),
)
READER = Part(
    needs=(f"{BROKER_READER}_USER", f"{BROKER_READER}_PASSWORD"),
    secrets=lambda given: {variables.READER_URL: broker_url(given, login=BROKER_READER)},
    raw=(f"{BROKER_READER}_PASSWORD",),
)
RESULTS = Part(
    needs=BROKER.needs,
    settings=lambda _: {"AIRFLOW__CELERY__TASK_TRACK_STARTED": "False"},  # the executor needs the end only
    secrets=lambda given: {variables.RESULTS_URL: RESULTS_URL_PREFIX + broker_url(given)},
    raw=BROKER.raw,
)
FERNET = _secret("FERNET_SECRET", setting="AIRFLOW__CORE__FERNET_KEY", convert=fernet_key)
API_KEY = _secret("API_SECRET", setting=variables.LOG_SERVER_KEY)
TOKENS = _secret("JWT_SECRET", setting="AIRFLOW__API_AUTH__JWT_SECRET")
EXECUTION_API = Part(
    needs=("EXECUTION_API_URL",),
    settings=lambda given: {"AIRFLOW__CORE__EXECUTION_API_SERVER_URL": given["EXECUTION_API_URL"]},
)
LOGS = Part(
    needs=("LOG_BUCKET",),
    settings=lambda given: {
        "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
        "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{given['LOG_BUCKET']}/logs",
        "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": AWS_CONNECTION,
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",  # the task role's credentials
    },
)
TRIGGER_LOGS = Part(needs=(), settings=_trigger_logs)
SCHEDULING = Part(
    needs=(POOLS,),
    settings=_scheduler_settings,
    secrets=_scheduler_secrets,
)
PARSING = Part(
    needs=(POOLS,),
    settings=lambda _: {"AIRFLOW__CORE__MIGHT_CONTAIN_DAG_CALLABLE": "roles.dag_files.might_contain_dag"},
)
CLEANING = Part(needs=(variables.CLEAN_KEEP_DAYS,), settings=_cleaning_settings)
FORECASTING = Part(needs=(POOLS,), settings=forecast_settings)
COSTS = Part(needs=(variables.WORKER_SIZES, variables.WORKER_PROCESSOR), settings=cost_settings)
EVENTS = Part(needs=(variables.EVENT_BUS, variables.STACK_NAME, variables.BASE_URL), settings=_events_settings)
WORKING = Part(
    needs=(POOLS, "POOL", variables.AGENT_URI, variables.SHARED_FOLDER),
    settings=_worker_settings,
    secrets=_worker_secrets,
)
RUNNING = Part(
    needs=(variables.SHARED_FOLDER,),
    settings=_runner_settings,
    hidden=(variables.AGENT_URI,),  # a task could end its worker's protection
)
FLOWER = Part(
    needs=("PORT", "ADMIN_PASSWORD"),
    settings=lambda _: _unacked_settings(access.FLOWERS_OWN),
    secrets=_flower_secrets,
    raw=("ADMIN_PASSWORD",),
)
WEB = Part(
    # The Fleet page shows the pools.
    needs=("PORT", "PUBLIC_PORT", POOLS, variables.CPU_UNITS, variables.MEMORY_MIB),
    settings=lambda given: {
        PROCESSES: str(processes(given)),
        MAX_OVERFLOW: str(WEB_OVERFLOW),
        # Only the load balancer can connect from outside; its headers hold the address that the browser asked for.
        "FORWARDED_ALLOW_IPS": "*",
    },
)
SIGN_IN = Part(needs=(), settings=_session_settings)
# A migration brings the tables of the auth manager, too.
SCHEMA = Part(needs=(), settings=lambda _: AUTH_MANAGER)
PEOPLE = Part(
    needs=("ADMIN_PASSWORD",),
    settings=lambda _: {**AUTH_MANAGER, "AIRFLOW__FAB__UPDATE_FAB_PERMS": "True"},
    secrets=_passwords,
    raw=("ADMIN_PASSWORD", "USER_PASSWORDS"),
)
MACHINES = Part(needs=(), settings=_machine_roles)
FLEET = Part(needs=(variables.METADATA_URI,))
TELEMETRY = Part(needs=(), settings=_telemetry_settings, secrets=_telemetry_secrets, raw=(telemetry.RECEIVER,))
LINEAGE = Part(needs=(), settings=lineage.task_settings)
LINEAGE_SENDING = Part(needs=(), secrets=_lineage_secrets, raw=(lineage.RECEIVER,))
