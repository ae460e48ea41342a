"""Says in words what is wrong with a fleet's versions beyond that they differ: the order of a deployment, a moved tag.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fleet.registry import CONSUMING, RUNNING, SCHEDULER, WORKER, Member
from fleet.releases import is_older
from version_check.verdict import Reference


def notes_on(members: Sequence[Member], *, reference: Reference | None, images: Iterable[str]) -> tuple[str, ...]:
    """`images`: those whose names stand for more than one digest."""
    too_new = () if reference is None else _newer_than_the_webserver(members, reference)
    moved = (f"the image {image} is run with two digests: its tag was moved" for image in images)
    return (*too_new, *_older_than_the_scheduler(members), *moved)


def _newer_than_the_webserver(members: Iterable[Member], reference: Reference) -> Iterator[str]:
    """A webserver serves older workers, not newer ones."""
    served = reference.code.airflow_version
    for worker in _workers(members):
        if (worker.state == CONSUMING or worker.active) and is_older(served, than=worker.airflow_version):
            yield (
                f"wrong order: {worker.id} runs Airflow {worker.airflow_version}, newer than the webserver's {served}: "
                "an upgrade needs the webserver first"
            )


def _older_than_the_scheduler(members: Sequence[Member]) -> Iterator[str]:
    """A task that a scheduler queues may need code that an older worker does not have."""
    schedulers = [member for member in members if member.role == SCHEDULER and member.state == RUNNING]
    for worker in _workers(members):
        newer = next((s for s in schedulers if s.code != worker.code and s.started_at > worker.started_at), None)
        if worker.state == CONSUMING and newer is not None:
            yield (
                f"wrong order: {worker.id} takes tasks of {newer.id}, which started later with other code: "
                "a new scheduler comes after the last old worker"
            )


def _workers(members: Iterable[Member]) -> Iterator[Member]:
    return (member for member in members if member.role == WORKER)
