"""Plays the VPC for tasks that share one host: ports, Cloud Map names and load balancer listeners."""

from __future__ import annotations

import contextlib
import http.client
import random
import re
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from local.fargate.listener_rules import answer, read_rules
from local.servers.http_requests import Answer
from local.servers.ports import HOST, Address, Port, PortTakenError, reserve
from local.servers.relay import HTTP_503, Relay
from stack.sections.airflow import TRIGGERER_LOG_PORT
from stack.sections.workers import LOG_SERVER_PORT

PROBE_EVERY_S = 1.0
PROBE_TIMEOUT_S = 5.0
# Ports that are the same in every ECS task: the address makes the difference, as on AWS.
LOG_PORTS = (LOG_SERVER_PORT, TRIGGERER_LOG_PORT)
# The variables that hold a container's ports.
PORT_VARIABLES = ("PORT", "PUBLIC_PORT")
# The variable with the URL of the site behind the load balancer's default port.
SITE_VARIABLE = "BASE_URL"
# The variable with the address of the ECS task, where its containers listen.
BIND_HOST = "BIND_HOST"
DEFAULT_PORTS = (80, 443)
# A healthy target is probed less often, because the webserver's health page queries the database.
HEALTHY_PROBE_EVERY_S = 10.0


@dataclass(kw_only=True)
class Target:
    """One task's port behind a service's container port."""

    task_id: str
    host: str
    port: int
    healthy: bool = False
    was_healthy: bool = False
    next_probe: float = 0.0


@dataclass(kw_only=True)
class Frontend:
    """A stable address in front of all tasks of a service that listen on one container port.

    `answer` applies the rules of a load balancer's listener to a request; None for a name in Cloud Map.
    """

    service: str
    container_port: int
    health_path: str | None
    answer: Answer | None = None
    address: tuple[str, int] = (HOST, 0)
    targets: dict[str, Target] = field(default_factory=dict)
    is_cut_off: bool = False

    @property
    def name(self) -> str:
        """The name of its relay."""
        return f"{self.service}:{self.container_port}"

    def choose(self) -> tuple[str, int] | None:
        """Return a healthy target, or else one that was healthy before, as a load balancer that fails open does."""
        if self.is_cut_off:
            return None
        targets = list(self.targets.values())
        found = [t for t in targets if t.healthy] or [t for t in targets if t.was_healthy]
        return (chosen.host, chosen.port) if found and (chosen := random.choice(found)) else None

    def probe(self, target: Target) -> bool:
        """Whether the target answers its target group's health check; without a health path, whether it accepts."""
        try:
            if self.health_path is None:
                with socket.create_connection((target.host, target.port), timeout=PROBE_TIMEOUT_S):
                    return True
            connection = http.client.HTTPConnection(target.host, target.port, timeout=PROBE_TIMEOUT_S)
            with contextlib.closing(connection):
                connection.request("GET", self.health_path)
                return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


class Network:
    """Gives each ECS task an address and its containers ports; keeps a relay for each listener and Cloud Map name."""

    def __init__(self, *, relay: Relay, clients: Any) -> None:
        self._relay, self._clients = relay, clients
        self._frontends: dict[tuple[str, int], Frontend] = {}
        self._names: dict[str, str] = {}  # DNS name -> ECS service
        self._site: Frontend | None = None  # behind the load balancer's default port
        self._ports: dict[tuple[str, str, str], Port] = {}  # by ECS task, container and variable
        self._addresses: dict[str, Address] = {}  # by ECS task
        self._lock = threading.Lock()
        self._closing = threading.Event()
        threading.Thread(target=self._probe_until_closed, name="health-probes", daemon=True).start()

    def close(self) -> None:
        """Stop probing. The relay belongs to its creator."""
        self._closing.set()

    def register_services(self, services: Sequence[Mapping[str, Any]]) -> None:
        """Make the frontends of these services, which are given as ECS describes them."""
        for service in services:
            for attachment in service.get("loadBalancers") or ():
                self._add_listener(
                    service["serviceName"], int(attachment["containerPort"]), attachment["targetGroupArn"]
                )
            for registry in service.get("serviceRegistries") or ():
                self._names[self._dns_name(registry["registryArn"])] = service["serviceName"]

    def address(self, service: str, container_port: int) -> tuple[str, int] | None:
        """Return the stable address of a service's port; None if it has no frontend."""
        frontend = self._frontends.get((service, container_port))
        return frontend.address if frontend else None

    def healthy(self, service: str, container_port: int) -> int:
        """Count the healthy targets of a service's port."""
        frontend = self._frontends.get((service, container_port))
        return sum(t.healthy for t in frontend.targets.values()) if frontend else 0

    def cut_off(self, service: str, container_port: int) -> None:
        """Cut a service's port off from its clients: connections end, new ones get 503, until `restore()`."""
        frontend = self._frontends[service, container_port]
        frontend.is_cut_off = True
        self._relay.sever(frontend.name)

    def restore(self, service: str, container_port: int) -> None:
        """Let clients reach a service's port again."""
        self._frontends[service, container_port].is_cut_off = False

    def ready(self, task_id: str) -> bool:
        """Whether every target of a task is healthy; a task without targets is ready."""
        with self._lock:
            return all(t.healthy for f in self._frontends.values() for t in f.targets.values() if t.task_id == task_id)

    def environment(self, service: str, task_id: str, name: str, given: Mapping[str, str]) -> dict[str, str]:
        """Return a container's environment with its ports and every Cloud Map name replaced by those of this host."""
        env, host = self.resolve(given), self._host(task_id)
        for variable in PORT_VARIABLES:
            if variable not in env:
                continue
            container_port, port = int(env[variable]), self._port(task_id, name, variable)
            env[variable] = str(port)
            with self._lock:
                if frontend := self._frontends.get((service, container_port)):
                    frontend.targets[task_id] = Target(task_id=task_id, host=host, port=port)
        return {**env, BIND_HOST: host}

    def resolve(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return an environment whose addresses are of this host: the site's, and those of names in Cloud Map."""
        resolved = {variable: self._resolve(value) for variable, value in given.items()}
        if SITE_VARIABLE in resolved and self._site is not None:
            resolved[SITE_VARIABLE] = "http://{}:{}".format(*self._site.address)
        return resolved

    def forget(self, task_id: str) -> None:
        """Deregister a task, as ECS does before it sends the stop signal."""
        with self._lock:
            for frontend in self._frontends.values():
                frontend.targets.pop(task_id, None)
            for key in [key for key in self._ports if key[0] == task_id]:
                self._ports.pop(key).release()
            if (address := self._addresses.pop(task_id, None)) is not None:
                address.release()

    def _host(self, task_id: str) -> str:
        with self._lock:
            if task_id not in self._addresses:
                self._addresses[task_id] = Address(LOG_PORTS)
            return self._addresses[task_id].host

    def _port(self, task_id: str, container: str, variable: str) -> int:
        key = (task_id, container, variable)
        if key not in self._ports:
            self._ports[key] = reserve()
        return self._ports[key].number

    def _add_listener(self, service: str, container_port: int, target_group_arn: str) -> None:
        """Make the frontend that plays the load balancer's listener for this target group."""
        if (service, container_port) in self._frontends:
            return
        group = self._clients.elbv2.describe_target_groups(TargetGroupArns=[target_group_arn])["TargetGroups"][0]
        listener, described = self._listener_to(target_group_arn)
        rules = read_rules(described)
        frontend = self._add_frontend(
            Frontend(
                service=service,
                container_port=container_port,
                health_path=str(group.get("HealthCheckPath") or "/"),
                answer=lambda target: answer(rules, target),
            ),
            preferred_port=int(group["Port"]),
        )
        if listener["Port"] in DEFAULT_PORTS:
            self._site = frontend

    def _listener_to(self, target_group_arn: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the listener that forwards to this target group, and its rules."""
        balancers = self._clients.elbv2
        for balancer in balancers.describe_load_balancers()["LoadBalancers"]:
            for listener in balancers.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]:
                rules: list[dict[str, Any]] = balancers.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
                if any(a.get("TargetGroupArn") == target_group_arn for rule in rules for a in rule["Actions"]):
                    return listener, rules
        raise ValueError(f"no listener forwards to the target group {target_group_arn}")

    def _frontend(self, service: str, container_port: int) -> Frontend:
        """Return the frontend of a service's port; for one without a load balancer, make it."""
        made = Frontend(service=service, container_port=container_port, health_path=None)
        return self._frontends.get((service, container_port)) or self._add_frontend(made, preferred_port=container_port)

    def _add_frontend(self, made: Frontend, *, preferred_port: int) -> Frontend:
        with self._lock:
            frontend = self._frontends.setdefault((made.service, made.container_port), made)
            if frontend is made:
                frontend.address = self._listen(frontend, preferred_port=preferred_port)
            return frontend

    def _listen(self, frontend: Frontend, *, preferred_port: int) -> tuple[str, int]:
        """Listen on the preferred port, so that bookmarks stay valid, or on a free port if that one is taken."""
        add = partial(
            self._relay.add,
            frontend.name,
            backend=frontend.choose,
            unavailable=HTTP_503,
            answer=frontend.answer,
        )
        try:
            return add(listen_port=preferred_port)
        except PortTakenError:
            return add()

    def _resolve(self, value: str) -> str:
        for name, service in self._names.items():
            pattern = re.compile(rf"\b{re.escape(name)}:(\d+)")
            value = pattern.sub(lambda match, s=service: self._at(s, int(match.group(1))), value)  # type: ignore[misc]
        return value

    def _at(self, service: str, container_port: int) -> str:
        host, port = self._frontend(service, container_port).address
        return f"{host}:{port}"

    def _dns_name(self, registry_arn: str) -> str:
        found = self._clients.servicediscovery.get_service(Id=registry_arn.rsplit("/", 1)[-1])["Service"]
        namespace = self._clients.servicediscovery.get_namespace(Id=found["NamespaceId"])["Namespace"]
        return f"{found['Name']}.{namespace['Name']}"

    def _probe_until_closed(self) -> None:
        clock = 0.0
        while not self._closing.wait(PROBE_EVERY_S):
            clock += PROBE_EVERY_S
            with self._lock:
                pairs = [(f, t) for f in self._frontends.values() for t in f.targets.values() if t.next_probe <= clock]
            for frontend, target in pairs:
                target.healthy = frontend.probe(target)
                target.was_healthy = target.was_healthy or target.healthy
                target.next_probe = clock + (HEALTHY_PROBE_EVERY_S if target.healthy else 0)
