"""Decides whose turn it is in a deployment, so that no task starts on a worker older than the scheduler that queued it.

- **Workers first, for new code and for a downgrade of Airflow.** New workers consume while the old scheduler continues;
  the new ECS task of `airflow` waits until no worker of other code may take a task. If the autoscaler gives the workers
  with its own image up meanwhile, and only schedulers of other code run, it fails: ECS's circuit breaker then ends the
  deployment, and CloudFormation rolls back.
- **Webserver first, for an upgrade of Airflow.** A webserver serves older workers, not newer ones. So the new webserver
  starts at once, the new workers consume when no older webserver is left, and only the new scheduler and DAG processor
  wait for the old workers to leave their queues. (With a new DAG processor the old scheduler would queue new tasks.)

Pure: the registry's content and the time are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agent import variables
from fleet.airflow_version import is_older
from fleet.member import CONSUMING, RUNNING, SCHEDULER, STARTING, WEBSERVER, WORKER, Code, Member
from fleet.registry import Roster

# A worker that is asked to leave a queue may still get a message for a second, and reports it a second later.
CONFIRM_S = 3.0
# Old workers leave their queues a minute or two after the new ones begin to boot. A worker that stays must not delay a
# deployment without limit, and CloudFormation gives up after three hours.
DEFAULT_MINUTES = 15
# The limit while no other scheduler runs: every pipeline stands still while the gate waits.
STANDSTILL_S = 300.0

Rule = Callable[[Roster, Code], tuple[str, ...]]


def limit_s(environment: Mapping[str, str]) -> float:
    """Return how long a gate stays shut at most, in seconds; raise ValueError when a variable is not a number.

    A gate that fails when the autoscaler gives new workers up must not open before: it is told the autoscaler's
    patience, which comes on top.
    """
    patience = float(environment.get(variables.ROLLOUT_PATIENCE_MINUTES) or 0)
    return 60.0 * (patience + float(environment.get(variables.GATE_MINUTES) or DEFAULT_MINUTES))


def other_workers(roster: Roster, code: Code) -> tuple[str, ...]:
    """Describe the workers of other code than `code` that take tasks, or may begin to. The rule of a scheduler.

    A draining worker takes no tasks, and a worker of a replaced deployment is never recalled.
    """
    taking = (m for m in roster.members if m.role == WORKER and m.state in (STARTING, CONSUMING))
    unreadable = (name for name in roster.malformed if name.endswith(f"/{WORKER}"))
    return (
        *(_in_words(member) for member in taking if not member.code.is_surely(code)),
        *(f"{name} (its record is malformed)" for name in unreadable),
    )


def other_workers_unless_newer(roster: Roster, code: Code) -> tuple[str, ...]:
    """Describe the workers as `other_workers` does, but none if new workers wait for this webserver.

    The rule of the whole ECS task `airflow`. New workers wait for a webserver that is newer than all present ones. If
    there is no webserver, running tasks wait for one, so it also starts at once.
    """
    webservers = (member for member in roster.members if member.role == WEBSERVER)
    serves = any(not is_older(webserver.airflow_version, than=code.airflow_version) for webserver in webservers)
    return other_workers(roster, code) if serves else ()


def others_schedule(roster: Roster) -> bool:
    """Return whether a scheduler runs; a scheduler that waits for its turn does not count."""
    return bool(_schedulers(roster))


def _is_live(roster: Roster, code: Code) -> bool:
    """Return whether a scheduler of this code runs: then this is a copy that is replaced or added, no deployment."""
    return any(scheduler.code.is_surely(code) for scheduler in _schedulers(roster))


def _schedulers(roster: Roster) -> tuple[Member, ...]:
    return tuple(member for member in roster.members if member.role == SCHEDULER and member.state == RUNNING)


@dataclass(frozen=True, kw_only=True)
class Passage:
    """`why` names the members that the gate waits for; it is empty if there are none. `has_failed`: it never opens."""

    is_open: bool
    why: str
    has_failed: bool = False


class Gate:
    """Opens after CONFIRM_S with nothing to wait for, or, with a reason, at its limit. Times are monotonic."""

    def __init__(self, *, limit_s: float, now: float) -> None:
        self._limit_s, self._since = limit_s, now
        self._clear_since: float | None = None
        self._others_schedule = True

    def check(self, roster: Roster | None, *, rule: Rule, code: Code, now: float, is_given_up: bool = False) -> Passage:
        """Check the gate. `roster` is None when the registry cannot be read; then no task can be queued either.

        `is_given_up`: the autoscaler has given up the workers with this container's image.
        """
        waiting_for: tuple[str, ...] = ("the fleet registry, which cannot be read",)
        if roster is not None:
            waiting_for, self._others_schedule = rule(roster, code), others_schedule(roster)
        if waiting_for:
            self._clear_since = None
        elif self._clear_since is None:
            self._clear_since = now
        if self._clear_since is not None:
            return Passage(is_open=now - self._clear_since >= CONFIRM_S, why="")
        if is_given_up and roster is not None and self._others_schedule and not _is_live(roster, code):
            return Passage(is_open=False, why="; ".join(waiting_for), has_failed=True)
        patience_s = self._limit_s if self._others_schedule else min(self._limit_s, STANDSTILL_S)
        return Passage(is_open=now - self._since >= patience_s, why="; ".join(waiting_for))


class Permission:
    """Whether a worker may take tasks: not while a webserver's Airflow is older than its own.

    It is not given before a webserver's version is known, or has been unknown for `limit_s`. It is never given while
    an older webserver is known.
    """

    def __init__(self, airflow_version: str, *, limit_s: float) -> None:
        self._airflow_version, self._limit_s = airflow_version, limit_s
        self._unknown_since: float | None = None
        self.is_given = not airflow_version  # where Airflow is not installed there is nothing to compare
        self.why = ""

    def check(self, webservers: Sequence[Member], *, now: float) -> None:
        """Set `is_given` for the present webservers and, if there is something to log, `why`. Times are monotonic."""
        if not self._airflow_version:
            return
        older = {w.id: is_older(w.airflow_version, than=self._airflow_version) for w in webservers}
        if any(older.values()):
            named = "; ".join(f"{w.id} has {w.airflow_version}" for w in webservers if older[w.id])
            self._unknown_since, self.is_given = None, False
            self.why = f"takes no tasks: its Airflow {self._airflow_version} is newer than the webserver's ({named})"
        elif False in older.values():
            self._unknown_since, self.is_given, self.why = None, True, ""
        elif not self.is_given:
            self._unknown_since = now if self._unknown_since is None else self._unknown_since
            self.is_given = now - self._unknown_since >= self._limit_s
            self.why = "takes tasks although" if self.is_given else "takes no tasks:"
            self.why += " no webserver has reported which Airflow it runs"


def _in_words(worker: Member) -> str:
    return f"{worker.id} ({worker.state}, {worker.active} tasks, image {worker.image_version or 'unknown'})"
