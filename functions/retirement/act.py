"""Records which ECS tasks AWS retires, and replaces those of `airflow` and `flower`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from retirement.notice import Notice
from retirement.settings import Settings
from shared.aws import AWS_ERRORS, in_words
from shared.ecs import Described, describe_services, describe_tasks, is_rolling_out, running_tasks, with_time
from shared.tags import retire_before, retire_before_tag

Problems = list[str]


def record(notice: Notice, *, settings: Settings, ecs: Any, now: float) -> tuple[list[str], Problems]:
    """Tag the services that the notice concerns; return their keys, and what went wrong.

    All tasks of a service that started before the notice are retired, also if it names only some: AWS retires a
    revision of its platform, and new tasks get the newest one.
    """
    names, problems = _concerned(notice, settings=settings, ecs=ecs)
    services = {key: name for key, name in settings.services.items() if _name(name) in names}
    described = describe_services(ecs, cluster=settings.cluster, services=list(services.values()), tags=True)
    tagged = []
    for key, name in services.items():
        service = described[name]
        if isinstance(service, str):
            problems.append(service)
            continue
        known = retire_before(service.get("tags", ()))
        if known is None or not notice.at <= known <= now:
            try:
                ecs.tag_resource(resourceArn=service["serviceArn"], tags=[retire_before_tag(notice.at)])
            except AWS_ERRORS as error:
                problems.append(f"{key}: {in_words(error)}")
                continue
        tagged.append(key)
    return tagged, problems


def replace(*, settings: Settings, ecs: Any, now: float) -> tuple[list[str], Problems]:
    """Deploy the tagged services anew that have tasks from before; return their keys, and what went wrong.

    ECS starts the new tasks before it stops the old ones. A service that rolls out already is left to itself.
    """
    services = settings.replaced
    described = describe_services(ecs, cluster=settings.cluster, services=list(services.values()), tags=True)
    deployed, problems = [], []
    for key, name in services.items():
        service = described[name]
        try:
            if isinstance(service, str):
                problems.append(service)
            elif not is_rolling_out(service) and _has_older_task(service, settings=settings, ecs=ecs, now=now):
                ecs.update_service(cluster=settings.cluster, service=name, forceNewDeployment=True)
                deployed.append(key)
        except AWS_ERRORS as error:
            problems.append(f"{key}: {in_words(error)}")
    return deployed, problems


def _concerned(notice: Notice, *, settings: Settings, ecs: Any) -> tuple[set[str], Problems]:
    """Return the names of the services that the notice concerns."""
    if notice.is_whole_cluster:
        return {_name(name) for name in settings.services.values()}, []
    if not notice.tasks:
        return set(notice.services), []
    try:
        tasks = describe_tasks(ecs, cluster=settings.cluster, tasks=sorted(notice.tasks))
    except AWS_ERRORS as error:
        return set(notice.services), [f"tasks: {in_words(error)}"]
    return {*notice.services, *_services_of(tasks)}, []


def _services_of(tasks: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of the tasks' services; a task of no service has none."""
    groups = (str(task.get("group", "")).partition(":") for task in tasks)
    return {name for kind, _, name in groups if kind == "service"}


def _has_older_task(service: Described, *, settings: Settings, ecs: Any, now: float) -> bool:
    before = retire_before(service.get("tags", ()))
    if before is None or before > now:
        return False
    arns = running_tasks(ecs, cluster=settings.cluster, service=service["serviceName"])
    tasks = with_time("createdAt", describe_tasks(ecs, cluster=settings.cluster, tasks=arns))
    return any(task["createdAt"].timestamp() < before for task in tasks)


def _name(service: str) -> str:
    """Return the name of a service that is given by its name or ARN."""
    return service.rpartition("/")[2]
