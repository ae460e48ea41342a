"""Read which containers run: from ECS their images and deployments, from the webserver over HTTP the code it runs."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from fleet.member import CODE_FIELDS, ROLES, WEBSERVER, Code, member_id, task_of
from shared.aws import AWS_ERRORS, in_words
from shared.ecs import (
    TASKS_A_CALL,
    Described,
    describe_services,
    describe_tasks,
    is_rolling_out,
    live_deployments,
    running_tasks,
    with_time,
)
from shared.tags import size_asleep
from version_check.compare import Container, Tasks
from version_check.rollout import Rollout
from version_check.verdict import Gap, Reference

RUNNING = "RUNNING"
STOPPED = "STOPPED"
FAILED = "FAILED"
AIRFLOW = "airflow"  # the key of its service
TASK_ID = re.compile(r"[0-9a-f]{32}")


def read_tasks(ecs: Any, *, cluster: str, services: Mapping[str, str], reported: Iterable[str]) -> Tasks:
    """Read the ECS tasks of `services`, {key: name or ARN}, and of the members that have `reported`.

    Errors of AWS do not raise: each is a gap. A stopping ECS task is not listed as running, but its members still
    report, so those tasks are described by their ids.
    """
    gaps: list[Gap] = []
    listed: dict[str, list[Described]] = {}
    for key, service in services.items():
        try:
            arns = running_tasks(ecs, cluster=cluster, service=service)
            listed[key] = with_time("startedAt", describe_tasks(ecs, cluster=cluster, tasks=arns), status=RUNNING)
        except AWS_ERRORS as error:
            gaps.append(Gap(who=key, why=in_words(error)))
    tasks = [task for of_service in listed.values() for task in of_service]
    known = {_id(task) for task in tasks}
    others = sorted({task for task in map(task_of, reported) if TASK_ID.fullmatch(task)} - known)
    stopping: set[str] = set()
    try:
        # One call only: a registry full of foreign members must not cost more.
        others_described = describe_tasks(ecs, cluster=cluster, tasks=others[:TASKS_A_CALL])
        stopping = {_id(task) for task in others_described if task["lastStatus"] != STOPPED}
    except AWS_ERRORS as error:
        gaps.append(Gap(who="stopping tasks", why=in_words(error)))
    described = describe_services(ecs, cluster=cluster, services=list(services.values()), tags=True)
    return Tasks(
        containers=tuple(container for task in tasks for container in running_containers(task)),
        known=frozenset(known | stopping),
        stopping=frozenset(stopping),
        gaps=(*_failed(services, described), *gaps),
        rollouts=tuple(_rollouts(services, described, listed)),
        is_complete=not gaps,
        is_asleep=_is_asleep(described[services[AIRFLOW]]),
    )


def running_containers(task: Described) -> Iterator[Container]:
    """Yield the containers of a described ECS task that run and must report, without sidecars added by others."""
    if task["lastStatus"] != RUNNING:
        return
    for container in task["containers"]:
        if container["name"] in ROLES and container.get("lastStatus") == RUNNING:
            yield Container(
                member=member_id(_id(task), container["name"]),
                role=container["name"],
                image=container.get("image", ""),
                digest=container.get("imageDigest", ""),
                started_at=task["startedAt"].timestamp(),
            )


def _is_asleep(service: Described | str) -> bool:
    """Return whether the service sleeps; False when it cannot be described, which is a gap elsewhere."""
    return not isinstance(service, str) and size_asleep(service.get("tags", ())) is not None


def _failed(services: Mapping[str, str], described: Mapping[str, Described | str]) -> Iterator[Gap]:
    """Yield a gap for each service that cannot be described, or whose deployment failed."""
    for key, service in services.items():
        entry = described[service]
        if isinstance(entry, str):
            yield Gap(who=key, why=entry)
        elif _has_failed(entry):
            newest = live_deployments(entry)[0]
            why = f"its deployment failed: {newest.get('rolloutStateReason', '')}"
            yield Gap(who=key, why=why, since=_began_at(newest))


def _rollouts(
    services: Mapping[str, str],
    described: Mapping[str, Described | str],
    listed: Mapping[str, Iterable[Described]],
) -> Iterator[Rollout]:
    """Yield the rollouts under way; `listed`: the ECS tasks by the service's key."""
    for key, service in services.items():
        entry = described[service]
        if isinstance(entry, str) or _has_failed(entry) or not is_rolling_out(entry):
            continue
        newest, *older = live_deployments(entry)
        deployments = {_id(task): task.get("startedBy") for task in listed.get(key, ())}
        yield Rollout(
            key=key,
            since=_began_at(newest),
            wanted=newest["desiredCount"],
            running=newest["runningCount"],
            left=sum(deployment["runningCount"] for deployment in older),
            new=frozenset(task for task, by in deployments.items() if by == newest["id"]),
            old=frozenset(task for task, by in deployments.items() if by != newest["id"]),
        )


def _has_failed(service: Described) -> bool:
    return live_deployments(service)[0].get("rolloutState") == FAILED


def _began_at(deployment: Mapping[str, Any]) -> float | None:
    began = deployment.get("createdAt")
    return None if began is None else float(began.timestamp())


def _id(task: Described) -> str:
    return str(task["taskArn"]).rpartition("/")[2]


TIMEOUT_S = 3.0
JSON = "application/json"
LONGEST_ANSWER_BYTES = 65_536


def ask_webserver(url: str) -> Reference | Gap:
    """Return the answer of `url` (plain HTTP within the VPC). Redirects are not followed: another host would answer."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", where.path, headers={"Accept": JSON})
        response = connection.getresponse()
        kind = response.headers.get_content_type()
        if response.status != http.client.OK:
            return _webserver_gap(f"answers HTTP {response.status}")
        if kind != JSON:
            return _webserver_gap(f"answers {kind}, not {JSON}")
        return _reference(json.loads(response.read(LONGEST_ANSWER_BYTES)))
    except ValueError:
        return _webserver_gap(f"the answer is not {JSON}")
    except (OSError, http.client.HTTPException) as error:
        return _webserver_gap(f"does not answer: {type(error).__name__}: {error}")
    finally:
        connection.close()


def _reference(answer: Any) -> Reference | Gap:
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name), str) for name in ("member", *CODE_FIELDS)):
        return _webserver_gap("the answer lacks the version")
    return Reference(member=answer["member"], code=Code(**{name: answer[name] for name in CODE_FIELDS}))


def _webserver_gap(why: str) -> Gap:
    return Gap(who=WEBSERVER, why=why)
