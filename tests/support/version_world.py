"""A fleet as the version check sees it: services in the local control plane, members in Redis, a webserver on HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import redis

from fleet.member import CONSUMING, RUNNING, Member
from fleet.registry import Registry
from local.servers.threads import HttpServer

CODE = {"image_version": "2.0", "dags_hash": "abc", "airflow_version": "3.3.2"}
CONTAINERS = {
    "airflow": ("gate", "migrate", "webserver", "scheduler", "dag-processor", "triggerer", "forecaster"),
    "worker": ("worker", "aws-guardduty-agent"),  # a sidecar that another team added
    "flower": ("flower",),
}
ENDED = ("gate", "migrate")
REPORTING = {
    "airflow": ("webserver", "scheduler", "dag-processor", "triggerer", "forecaster"),
    "worker": ("worker",),
    "flower": ("flower",),
}


class FakeWebserver:
    """Serves until closed. `mode`: json, html, redirect, error, garbage, nonsense, or nothing."""

    def __init__(self) -> None:
        self.mode = "json"
        self.answer: dict[str, str] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if fake.mode == "nothing":
                    return
                status, kind, body = {
                    "json": (200, "application/json", json.dumps(fake.answer)),
                    "html": (200, "text/html; charset=utf-8", "<!doctype html><title>Airflow</title>"),
                    "redirect": (302, "application/json", json.dumps(fake.answer)),
                    "error": (500, "application/json", json.dumps(fake.answer)),
                    "garbage": (200, "application/json", "<!doctype html>"),
                    "nonsense": (200, "application/json", '{"detail": "Not Found"}'),
                }[fake.mode]
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HttpServer(Handler, name="fake webserver")
        self.url = f"http://127.0.0.1:{self._server.server_port}/fleet/version"

    def close(self) -> None:
        self._server.close()


@dataclass
class World:
    """Three services of one task each; `tasks` by service. All run and report the same."""

    ecs: Any
    redis: redis.Redis
    webserver: FakeWebserver
    cluster: str
    services: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, list[str]] = field(default_factory=dict)
    arns: dict[str, str] = field(default_factory=dict)  # by task id

    def build(self) -> World:
        self.ecs.create_cluster(clusterName=self.cluster)
        for key in CONTAINERS:
            self.services[key] = f"{self.cluster}-{key.capitalize()}Service-0123456789AB"
            definition = self.define(key, image="airflow:2.0")
            self.ecs.create_service(
                cluster=self.cluster, serviceName=self.services[key], taskDefinition=definition, desiredCount=1
            )
            self.start(key)
        return self

    @property
    def template_arns(self) -> dict[str, str]:
        """What the template's cluster and services are here, as ARNs."""
        answer = self.ecs.describe_services(cluster=self.cluster, services=list(self.services.values()))
        found = {service["serviceName"]: service["serviceArn"] for service in answer["services"]}
        services = {f"{key.capitalize()}Service": found[name] for key, name in self.services.items()}
        return {**services, "Cluster": answer["services"][0]["clusterArn"]}

    def define(self, key: str, *, image: str, **roles: str) -> str:
        """Register a revision of the service's task definition; return its ARN."""
        containers = [{"name": name, "image": image, "essential": name not in ENDED} for name in CONTAINERS[key]]
        made = self.ecs.register_task_definition(
            family=f"{self.cluster}-{key}",
            containerDefinitions=containers,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            **roles,
        )
        arn: str = made["taskDefinition"]["taskDefinitionArn"]
        return arn

    def deploy(self, key: str, *, image: str) -> None:
        """Make a new deployment of the service without starting any of its tasks."""
        self.ecs.update_service(
            cluster=self.cluster, service=self.services[key], taskDefinition=self.define(key, image=image)
        )

    def start(self, key: str, *, reports: bool = True, **code: str) -> str:
        """Start a task of the service's newest deployment; return its id."""
        (service,) = self.ecs.describe_services(cluster=self.cluster, services=[self.services[key]])["services"]
        newest = service["deployments"][0]
        started = self.ecs.run_task(
            cluster=self.cluster,
            taskDefinition=newest["taskDefinition"],
            startedBy=newest["id"],
            group=f"service:{self.services[key]}",
            launchType="FARGATE",
        )["tasks"][0]["taskArn"]
        ended = [{"containerName": name, "status": "STOPPED"} for name in CONTAINERS[key] if name in ENDED]
        self.ecs.submit_task_state_change(cluster=self.cluster, task=started, status="RUNNING", containers=ended)
        task: str = started.rpartition("/")[2]
        self.arns[task] = started
        self.tasks.setdefault(key, []).append(task)
        if reports:
            self.report(key, task, **code)
        return task

    def stop(self, key: str, task: str, *, gone: bool = True) -> None:
        """Stop the task; unless `gone`, its processes are still stopping."""
        self.ecs.stop_task(cluster=self.cluster, task=task, reason="test")
        if gone:
            self.ecs.submit_task_state_change(cluster=self.cluster, task=task, status="STOPPED")
            self.tasks[key].remove(task)

    def report(self, key: str, task: str, **other: Any) -> None:
        """Let all containers of the task report; a webserver answers the same."""
        for role in REPORTING[key]:
            self.report_one(task, role, **other)

    def report_one(self, task: str, role: str, **other: Any) -> None:
        values: dict[str, Any] = {
            **CODE,
            "state": CONSUMING if role == "worker" else RUNNING,
            "active": 0,
            **other,
        }
        Registry(self.redis).report(
            Member(
                id=f"{task}/{role}",
                role=role,
                pool=role if role == "worker" else None,
                slots=0,
                protected=False,
                started_at=0.0,
                task_arn=self.arns.get(task, task),
                container=role,
                queues=(),
                **values,
            )
        )
        if role == "webserver":
            self.webserver.answer = {"member": f"{task}/webserver", **{name: values[name] for name in CODE}}

    def forget(self, key: str) -> None:
        """Remove the reports of the service's tasks."""
        for task in self.tasks[key]:
            for role in REPORTING[key]:
                Registry(self.redis).forget(f"{task}/{role}")
