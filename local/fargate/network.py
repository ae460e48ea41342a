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
from typing import Any

from local.servers.ports import HOST, Port, PortTakenError, reserve
from local.servers.relay import HTTP_503, Relay

PROBE_EVERY_S = 1.0
PROBE_TIMEOUT_S = 5.0
# A healthy target is probed less often, because the webserver's health page queries the database.
HEALTHY_PROBE_EVERY_S = 10.0


@dataclass(kw_only=True)
class Target:
    """One task's port behind a service's container port."""

    task_id: str
    port: int
    healthy: bool = False
    was_healthy: bool = False
    next_probe: float = 0.0


@dataclass(kw_only=True)
class Frontend:
    """A stable address in front of all tasks of a service that listen on one container port."""

    service: str
    container_port: int
    health_path: str | None
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
        ports = [t.port for t in targets if t.healthy] or [t.port for t in targets if t.was_healthy]
        return (HOST, random.choice(ports)) if ports else None

    def probe(self, target: Target) -> bool:
        """Whether the target answers its target group's health check; without a health path, whether it accepts."""
        try:
            if self.health_path is None:
                with socket.create_connection((HOST, target.port), timeout=PROBE_TIMEOUT_S):
                    return True
            connection = http.client.HTTPConnection(HOST, target.port, timeout=PROBE_TIMEOUT_S)
            with contextlib.closing(connection):
                connection.request("GET", self.health_path)
                return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


class Network:
    """Allocates ports, and keeps a relay for each listener and each Cloud Map name."""

    def __init__(self, *, relay: Relay, clients: Any) -> None:
        self._relay, self._clients = relay, clients
        self._frontends: dict[tuple[str, int], Frontend] = {}
        self._names: dict[str, str] = {}  # DNS name -> ECS service
        self._ports: dict[tuple[str, str], Port] = {}
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
                path = self._health_path(attachment["targetGroupArn"])
                self._frontend(service["serviceName"], int(attachment["containerPort"]), path)
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
        """Return a container's environment with its port and every Cloud Map name replaced by those of this host."""
        env = self.resolve(given)
        if "PORT" in env:
            container_port, port = int(env["PORT"]), self._port(task_id, name)
            env["PORT"] = str(port)
            with self._lock:
                if frontend := self._frontends.get((service, container_port)):
                    frontend.targets[task_id] = Target(task_id=task_id, port=port)
        return {**env, "BIND_HOST": HOST}

    def resolve(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with every Cloud Map name that a port follows replaced by an address of this host."""
        return {variable: self._resolve(value) for variable, value in given.items()}

    def forget(self, task_id: str) -> None:
        """Deregister a task, as ECS does before it sends the stop signal."""
        with self._lock:
            for frontend in self._frontends.values():
                frontend.targets.pop(task_id, None)
            for key in [key for key in self._ports if key[0] == task_id]:
                self._ports.pop(key).release()

    def _port(self, task_id: str, container: str) -> int:
        if (task_id, container) not in self._ports:
            self._ports[task_id, container] = reserve()
        return self._ports[task_id, container].number

    def _frontend(self, service: str, container_port: int, health_path: str | None) -> Frontend:
        with self._lock:
            frontend = self._frontends.get((service, container_port))
            if frontend is None:
                frontend = Frontend(service=service, container_port=container_port, health_path=health_path)
                self._frontends[service, container_port] = frontend
                frontend.address = self._listen(frontend, preferred_port=container_port)
            return frontend

    def _listen(self, frontend: Frontend, *, preferred_port: int) -> tuple[str, int]:
        """Listen on the container's own port, so that bookmarks stay valid, or on a free port if that one is taken."""
        try:
            return self._relay.add(
                frontend.name, listen_port=preferred_port, backend=frontend.choose, unavailable=HTTP_503
            )
        except PortTakenError:
            return self._relay.add(frontend.name, backend=frontend.choose, unavailable=HTTP_503)

    def _resolve(self, value: str) -> str:
        for name, service in self._names.items():
            pattern = re.compile(rf"\b{re.escape(name)}:(\d+)")
            value = pattern.sub(lambda match, s=service: self._at(s, int(match.group(1))), value)  # type: ignore[misc]
        return value

    def _at(self, service: str, container_port: int) -> str:
        host, port = self._frontend(service, container_port, None).address
        return f"{host}:{port}"

    def _health_path(self, target_group_arn: str) -> str:
        groups = self._clients.elbv2.describe_target_groups(TargetGroupArns=[target_group_arn])["TargetGroups"]
        return str(groups[0].get("HealthCheckPath") or "/")

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
