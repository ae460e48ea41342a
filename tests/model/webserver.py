"""The webserver in the model: a member of the registry with a release of Airflow, which workers must look at."""

from __future__ import annotations

from collections.abc import Callable

from fleet.member import RUNNING, WEBSERVER, Member, member_id
from fleet.registry import MEMBERS_KEY, member_key
from tests.model.redis_store import Store
from tests.model.scaler import Violation
from tests.model.worker import WORKERS_RELEASE, Process

OLDER_RELEASE = "2"
# A worker checks each 10 s (agent.fleet_agent.PERMITTED_FOR_S); its threads may sleep 20 s each and wait 8 s for Redis.
NOTICED_AFTER_S = 90.0


class Webserver:
    """`history`: since when it runs which release, the present one last."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store, self._now = store, now
        self.history: list[tuple[float, str]] = []
        self.runs(WORKERS_RELEASE)

    def runs(self, release: str) -> None:
        """Replace it by one of `release`, if that is another one."""
        if not self.history or self.history[-1][1] != release:
            self.history.append((self._now(), release))
        self.report()

    def report(self) -> None:
        """As its reporter does every few seconds."""
        name, (_, release) = member_id("w", WEBSERVER), self.history[-1]
        member = Member(
            id=name,
            role=WEBSERVER,
            pool=None,
            image_version="1",
            dags_hash="1",
            airflow_version=release,
            state=RUNNING,
            slots=0,
            active=0,
            protected=False,
            started_at=0.0,
            task_arn="",
            container=WEBSERVER,
            queues=(),
        )
        self._store.set(member_key(name), member.to_json(), ex=60)
        self._store.zadd(MEMBERS_KEY, {name: self._now()})

    def check(self, worker: Process) -> None:
        """Check that a worker that takes a message has seen a webserver as new as itself, and no older one lately."""
        since, release = self.history[-1]
        served = release == WORKERS_RELEASE or any(
            end >= worker.born
            for (_, each), (end, _) in zip(self.history, self.history[1:], strict=False)
            if each == WORKERS_RELEASE
        )
        if not served:
            raise Violation(f"{worker.task_id} took a message of a webserver that is older")
        if release == OLDER_RELEASE and self._now() - max(since, worker.born) > NOTICED_AFTER_S:
            raise Violation(f"{worker.task_id} takes messages of a webserver that has been older for long")
