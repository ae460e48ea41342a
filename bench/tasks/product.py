"""The product: the image's roles, started by its entrypoint with the variables of the template's containers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.tasks.servers import BUCKET, DATABASE_USER, Servers
from bench.tasks.system import DAGS, QUEUE, RUNNER, WORKER, System
from fleet import access
from fleet.pools import POOLS, pool_entry
from local.fargate.image import Image, compile_sources, copy_sources
from local.servers.ports import HOST
from ops.cost.resolved import read_template
from project.paths import AIRFLOW_ENVIRONMENT
from telemetry import settings

ENVIRONMENT = "dev"  # whose parameters the template's containers get
DEFINITIONS = ("AirflowTaskDefinition", "WorkerTaskDefinition")
VERSION = "1"
POOL = "worker"


class Product(System):
    """The template's variables, but one pool of one worker, servers of this machine, and no TLS between them."""

    name = "product"
    broker_database = 0
    unacked_key = access.unacked_keys(POOL)[0]
    worker_roles = (RUNNER, WORKER)

    def __init__(self, servers: Servers, folder: Path, *, dag_ids: Sequence[str], variables: Mapping[str, str]) -> None:
        super().__init__(servers, folder, dag_ids=dag_ids, variables=variables)
        servers.add_broker_users({POOL: (QUEUE,)})
        root = self.folder / "image"
        copy_sources(root)
        shutil.rmtree(root / "dags")
        shutil.copytree(DAGS, root / "dags")
        compile_sources(root)
        self._image = Image(root=root, version=VERSION, packages=AIRFLOW_ENVIRONMENT)
        self._shared = self.folder / "shared"
        self._shared.mkdir()

    @cached_property
    def _definitions(self) -> dict[str, Any]:
        """The template's containers by name."""
        resources = read_template(ENVIRONMENT, None)["Resources"]
        found = (each for name in DEFINITIONS for each in resources[name]["Properties"]["ContainerDefinitions"])
        return {each["Name"]: each for each in found}

    def argv(self, role: str, *, slots: int) -> list[str]:  # noqa: ARG002 - the entrypoint reads them
        """Return the container's command."""
        (command,) = self._definitions[role]["Command"]
        return [str(AIRFLOW_ENVIRONMENT / "bin" / "python"), str(self._image.entrypoint), command]

    def environment(self, role: str, home: Path, *, slots: int) -> dict[str, str]:
        """Return the variables of the container. Raises KeyError for one whose value only a deployment would know."""
        definition = self._definitions[role]
        given = {each["Name"]: each["Value"] for each in definition.get("Environment", ())}
        ours = self._values(given, slots=slots) | self.servers.aws_environment()
        literal = {name: str(value) for name, value in given.items() if isinstance(value, str | int)}
        names = (*given, *(each["Name"] for each in definition.get("Secrets", ())))
        return {
            **self._image.environment(home),
            **self.image_environment(home, pythonpath=(self._image.root,)),
            **{name: ours[name] if name in ours else literal[name] for name in names},
            **self.servers.aws_environment(),
            "BIND_HOST": HOST,
            # As on AWS: beside a local endpoint of AWS metrics are sent more often.
            settings.INTERVAL_MS: str(1000 * settings.EVERY_S),
            # Stock Airflow's log servers listen on every interface, so neither of the two has one here.
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": "",
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": "",
            "ECS_AGENT_URI": f"{self.servers.aws_url}/api/{role}",
            "ECS_CONTAINER_METADATA_URI_V4": f"{self.servers.aws_url}/v4/{role}",
            **self.variables,
        }

    def _values(self, given: Mapping[str, Any], *, slots: int) -> dict[str, str]:
        """Return the values of the servers, of secrets, and of what the template gets from other resources."""
        servers = self.servers
        return {
            "ADMIN_PASSWORD": servers.password,
            "API_SECRET": "api-secret-of-at-least-thirty-two-bytes",
            "BASE_URL": f"http://{HOST}:{self.url_port}",
            "BROKER_HOST": servers.redis.host,
            "BROKER_PASSWORD": servers.password,
            "BROKER_PORT": str(servers.redis.port),
            "BROKER_READER_PASSWORD": servers.password,
            "BROKER_SCHEME": "redis",
            "CLOUDWATCH_METRICS_URL": f"{servers.aws_url}/v1/metrics",
            "DAG_BUCKET": BUCKET,
            "DATABASE_HOST": servers.postgres.host,
            "DATABASE_NAME": self.name,
            "DATABASE_PASSWORD": servers.password,
            "DATABASE_PORT": str(servers.postgres.port),
            "DATABASE_SECRET_ARN": "",
            "DATABASE_SSLMODE": "disable",
            "DATABASE_USER": DATABASE_USER,
            "EXECUTION_API_URL": f"http://{HOST}:{self.execution_port}/execution/",
            "FERNET_SECRET": "f" * 32,
            "JWT_SECRET": "jwt-secret-of-at-least-thirty-two-bytes-better-sixty-four-bytes-",
            "LOG_BUCKET": BUCKET,
            "MACHINE_AUDIENCE": "airflow:bench",
            "PORT": str(self.execution_port),
            "PUBLIC_PORT": str(self.url_port),
            "SHARED_FOLDER": str(self._shared),
            "STACK_NAME": "bench",
            "STS_URL": f"{servers.aws_url}/",
            "XCOM_BUCKET": BUCKET,
            "XRAY_TRACES_URL": f"{servers.aws_url}/v1/traces",
            POOLS: self._pools(slots, has_limits='"max"' in str(given.get(POOLS))),
        }

    def _pools(self, slots: int, *, has_limits: bool) -> str:
        count = 1 if has_limits else None  # the template gives the limits to all but the workers
        return json.dumps([pool_entry(name=POOL, queues=[QUEUE], minimum=count, maximum=count, concurrency=slots)])
