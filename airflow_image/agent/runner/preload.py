"""Imports and builds once what every task would otherwise import and build again."""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import os
import sys
from collections.abc import Mapping

from pydantic import TypeAdapter

from agent.lineage import install as lineage
from agent.runner import imports
from agent.runner.rehearsal import rehearse
from agent.runner.trial import Step
from agent.versions import code_folders

log = logging.getLogger(__name__)

MODULES = (
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.dagbag",
    "airflow.executors.base_executor",
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.amazon.aws.log.s3_task_handler",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.python",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.execution_time.callback_supervisor",
    "airflow.sdk.execution_time.comms",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.plugins_manager",
    "boto3.s3.transfer",
    "dag_bundles.s3",
    "fleet.member",
    "httpx",
    "jinja2.ext",
    "jinja2.sandbox",
    "setproctitle",
)
PLUGINS, LINEAGE = "plugins", "lineage"
# What its documents need, and each task would import.
MODULES_OF_LINEAGE = ("agent.lineage.outbox", "airflow.providers.common.sql.hooks.lineage")
NAMES_OF_THE_SDK = ("Asset", "Param", "dag", "get_current_context", "task")


def preload() -> TypeAdapter[object]:
    """Import everything; return the decoder of workloads.

    The caller has disabled garbage collection: looking for garbage takes a quarter of the imports' time, and finds
    2 MiB. It is enabled afterwards, for what is made later: a collection in a task's process would copy every page that
    it marks.
    """
    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            log.warning("runner: cannot preload %s: %s", name, error)
    import airflow.sdk
    from airflow.executors.workloads import ExecutorWorkload
    from airflow.sdk.api import client

    for name in NAMES_OF_THE_SDK:
        getattr(airflow.sdk, name)  # each is imported at its first use
    client.Client._get_ssl_context_cached(client.API_SSL_CA_FILE_PATH, client.API_SSL_CERT_PATH)
    _build_log_client()
    decoder: TypeAdapter[object] = TypeAdapter(ExecutorWorkload)
    rehearse()
    _forget_database()
    gc.freeze()
    gc.enable()
    return decoder


def _forget_database() -> None:
    """Drop Airflow's engine of a database, which no task has: each fork would build its pool of connections anew."""
    from airflow import settings

    settings.dispose_orm(do_log=False)


def steps(environment: Mapping[str, str]) -> dict[str, Step]:
    """Return what the code in the image needs, by name: what DAG files import, and the plugins."""
    folders = code_folders(environment)
    found: dict[str, Step] = {}
    try:
        for each in imports.imports_of([folders["dags"]]):
            if each.module not in sys.modules:
                found[each.module] = each
    except OSError as error:
        log.warning("runner: not imported for all tasks: what DAG files import, which cannot be read: %s", error)
    if folders["plugins"].is_dir():
        found[PLUGINS] = _load_plugins
    if lineage.is_wanted(environment):
        found[LINEAGE] = _load_lineage
    return found


def _load_plugins() -> None:
    """Load Airflow's plugins. Raises ImportError if one fails, so that tasks load them and log why."""
    from airflow.sdk import listener, plugins_manager

    listener.get_listener_manager()
    _, errors = plugins_manager._get_plugins()
    if errors:
        raise ImportError(", ".join(errors))


def _load_lineage() -> None:
    """Build the client of lineage, which each task would build. Raises whatever its settings make it raise."""
    from airflow.providers.openlineage.plugins.listener import get_openlineage_listener

    for name in MODULES_OF_LINEAGE:
        importlib.import_module(name)
    get_openlineage_listener().adapter.get_or_create_openlineage_client()


def _build_log_client() -> None:
    """Build the client that uploads logs: no task connects earlier, but each would read botocore's models again."""
    if os.environ.get("AIRFLOW__LOGGING__REMOTE_LOGGING") != "True":
        return
    import botocore.loaders
    from airflow.sdk.log import load_remote_log_handler

    botocore.loaders.create_loader = functools.cache(botocore.loaders.create_loader)
    try:
        handler = load_remote_log_handler()
        _ = handler.hook.conn  # a cached property
    except Exception as error:  # noqa: BLE001 - the upload itself will say what is wrong
        log.warning("runner: no client for the logs' bucket: %r", error)
