"""The faults, and the run of the chosen ones, one after another."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx
import redis

from local.scenarios.faults import aws, broker, database, rollouts
from local.scenarios.faults.deployment import deploy_changed_image
from local.scenarios.faults.failures import (
    AUTOSCALER_AWAY_S,
    BLOCKED,
    BROKER_AWAY_S,
    BROKER_FULL_S,
    DATABASE_AWAY_S,
    SERVER_ERROR,
    fill_broker,
    kill_webserver,
    kill_worker,
    refuse_protection,
    restart_postgres,
    restart_redis,
    throttle_autoscaler,
)
from local.scenarios.faults.long_task import LongTask
from local.scenarios.faults.page import Harm, with_open_page
from local.scenarios.faults.retirement import retire
from local.scenarios.faults.scaling import flip_orders, lower_count, run_second_autoscaler
from local.scenarios.faults.sleep import put_to_sleep
from local.scenarios.faults.starvation import FLOOD_TASKS, starve
from local.scenarios.faults.telemetry import spoil_telemetry
from local.scenarios.faults.ten_pools import up_with_ten_pools
from local.scenarios.faults.trial import Trial
from local.scenarios.faults.verdict import Verdict, judge
from local.scenarios.observed_stack import ObservedStack
from local.stack.up import EXECUTION_PORT, WEBSERVER_PORT, Stack, up
from local.ui.display import Display
from project import paths
from project.errors import CommandError

REPORT = paths.STATE / "faults.json"
# Airflow's 300 s would be much of the run. The limit must outlast the restart of the processes that a restart of
# Postgres ends, and, on a busy machine, a new task of `airflow` (75 s): with 60 s, running tasks were taken for dead.
HEARTBEAT_TIMEOUT_S = 120
# A version that is given up takes longest: the autoscaler's patience, then three ECS tasks of `airflow` that fail.
SETTLE_LIMIT_S = 900.0
SETTINGS = {"AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT_S)}

BringUp = Callable[[Display], AbstractContextManager[Stack]]


@contextlib.contextmanager
def up_with_one_pool(display: Display) -> Iterator[Stack]:
    """Bring the deployed template's stack up, which most faults share."""
    with up(display.step, warn=display.warn, settings=SETTINGS, settle_limit_s=SETTLE_LIMIT_S) as stack:
        yield stack


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`harm` triggers bursts, does the harm and waits for the tasks; the runner settles the stack before and after.

    `has_long_task`: a task that outlasts the fault runs beside the bursts, see `long_task`. `bring_up`: faults that
    follow each other and have the same share a stack.
    """

    name: str
    what: str
    harm: Harm
    has_long_task: bool = False
    bring_up: BringUp = up_with_one_pool


def faults(*, autoscaler_away_s: float = AUTOSCALER_AWAY_S, flood_tasks: int = FLOOD_TASKS) -> tuple[Fault, ...]:
    """Return every fault, in the order in which they run."""
    away = f"no invocation of the autoscaler for {autoscaler_away_s:.0f} s in mid-burst"
    return (
        Fault(name="scale-in", what="count lowered to 1 by hand, then workers drain under load", harm=lower_count),
        Fault(name="redis", what=f"Redis fails over with its data, {BROKER_AWAY_S:.0f} s away", harm=restart_redis),
        Fault(name="broker-full", what=f"Redis is full for {BROKER_FULL_S:.0f} s in a burst of 200", harm=fill_broker),
        Fault(
            name="role-change",
            what=f"Redis is a replica twice, {sum(broker.ROLE_CHANGES_S):.0f} s in all",
            harm=broker.change_roles,
            has_long_task=True,
        ),
        Fault(
            name="broker-silent",
            what="every connection to Redis leads nowhere, new ones reach a new server",
            harm=broker.fall_silent,
            has_long_task=True,
        ),
        Fault(
            name="broker-frozen",
            what=f"Redis is frozen for {broker.FROZEN_S:.0f} s",
            harm=broker.freeze,
            has_long_task=True,
        ),
        Fault(
            name="registry-flushed",
            what="Redis loses everything in mid-burst",
            harm=broker.flush,
            has_long_task=True,
        ),
        Fault(
            name="postgres-frozen",
            what=f"Postgres is frozen for {database.FROZEN_S:.0f} s",
            harm=database.freeze_postgres,
            has_long_task=True,
        ),
        # The last with the long task: the stack settles only when the worker that runs it has ended.
        Fault(
            name="retirement",
            what="AWS retires the tasks of every service in mid-burst",
            harm=retire,
            has_long_task=True,
        ),
        Fault(name="postgres", what=f"Postgres reboots, {DATABASE_AWAY_S:.0f} s away", harm=restart_postgres),
        Fault(name="webserver", what="the webserver is killed on a busy machine", harm=kill_webserver),
        Fault(name="autoscaler-away", what=away, harm=lambda t: throttle_autoscaler(t, away_s=autoscaler_away_s)),
        Fault(
            name="aws-trouble",
            what=f"AWS's answers to the functions are wrong in {len(aws.KINDS)} ways, {aws.EACH_S:.0f} s each",
            harm=aws.trouble,
        ),
        Fault(
            name="telemetry",
            what="the receiver of metrics and traces hangs, then refuses, in a burst of 120",
            harm=spoil_telemetry,
        ),
        Fault(name="two-autoscalers", what="a second autoscaler runs at the same time", harm=run_second_autoscaler),
        Fault(
            name="protection-500",
            what="the protection endpoint answers 500 in scale-out and in scale-in",
            harm=lambda t: refuse_protection(t, answer=SERVER_ERROR),
        ),
        Fault(
            name="protection-blocked",
            what="the protection endpoint answers DEPLOYMENT_BLOCKED in scale-out and in scale-in",
            harm=lambda t: refuse_protection(t, answer=BLOCKED),
        ),
        Fault(name="oscillation", what="1,000 short tasks while orders flip every 4 s", harm=flip_orders),
        Fault(
            name="deployment",
            what="an image with a changed DAG is rolled out in mid-burst, with the Fleet page open",
            harm=with_open_page(deploy_changed_image),
        ),
        Fault(
            name="broken-image",
            what="workers that crash at their start are deployed in mid-burst",
            harm=rollouts.deploy_broken_image,
        ),
        Fault(
            name="long-task",
            what=f"a deployment beside a task of {rollouts.LONGEST.longest_s:.0f} s",
            harm=rollouts.deploy_beside_a_long_task,
        ),
        Fault(
            name="two-deployments",
            what="a second deployment while old workers finish tasks from before the first",
            harm=rollouts.deploy_twice,
        ),
        Fault(
            name="broken-autoscaler",
            what="an autoscaler that fails is deployed, then mended by a release",
            harm=rollouts.deploy_broken_autoscaler,
        ),
        Fault(name="asleep", what="the stack is put to sleep in mid-burst and woken", harm=put_to_sleep),
        Fault(name="sigkill", what="SIGKILL of a worker with running tasks", harm=kill_worker),
        # The last, because it has a stack of its own.
        Fault(
            name="starvation",
            what=f"one of ten pools is flooded with {flood_tasks:,} tasks",
            harm=lambda t: starve(t, flood_tasks=flood_tasks),
            bring_up=up_with_ten_pools,
        ),
    )


def run(*, only: Sequence[str], autoscaler_away_s: float, long_task_s: float, flood_tasks: int) -> int:
    """Run the faults (all, or those named), and bring the stacks up and down that they need.

    Return 0 only if every fault holds and no role lacked an action.
    """
    chosen = choose(faults(autoscaler_away_s=autoscaler_away_s, flood_tasks=flood_tasks), only)
    verdicts: list[Verdict] = []
    refused: list[str] = []
    with Display() as display:
        for bring_up, several in itertools.groupby(chosen, key=lambda fault: fault.bring_up):
            with bring_up(display) as stack:
                verdicts += _run_all(stack, display, tuple(several), long_task_s=long_task_s)
                refused += stack.refusals.seen()
                display.step("stopping everything")
            REPORT.write_text(json.dumps([verdict.to_record() for verdict in verdicts], indent=2) + "\n")
    held = sum(verdict.holds for verdict in verdicts)
    print(f"{held} of {len(verdicts)} faults hold; {REPORT}")
    if refused:
        print(f"{len(refused)} kinds of calls were refused, the first: {refused[0]}")
    return 0 if held == len(chosen) and not refused else 1


def choose(every: Sequence[Fault], only: Sequence[str]) -> tuple[Fault, ...]:
    """Return the faults that are named, in their own order; all when none is. CommandError for an unknown name."""
    names = [fault.name for fault in every]
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise CommandError(f"no such fault: {', '.join(unknown)}; there are: {', '.join(names)}")
    return tuple(fault for fault in every if not only or fault.name in only)


def _run_all(stack: Stack, display: Display, chosen: Sequence[Fault], *, long_task_s: float) -> list[Verdict]:
    observed = ObservedStack(stack)
    long_task = LongTask(observed, seconds=long_task_s)
    verdicts = []
    try:
        for fault, following in itertools.zip_longest(chosen, chosen[1:]):
            display.step(f"{fault.name}: {fault.what}")
            is_last = following is None or not following.has_long_task
            verdict = _run_one(observed, fault, long_task, is_last=is_last)
            verdicts.append(verdict)
            display.say(f"{'[green]✓[/]' if verdict.holds else '[red]✗[/]'} {verdict.line()}")
    finally:
        observed.close()
    return verdicts


def _run_one(observed: ObservedStack, fault: Fault, long_task: LongTask, *, is_last: bool) -> Verdict:
    """Settle, harm, repair, settle, judge. A step that fails or does not end in time is part of the verdict.

    `is_last`: the long task, if the fault has one, must end before the next fault.
    """
    outlived_before = observed.stack.agent.killed_tasks
    trial = Trial(observed=observed, long_task_s=long_task.seconds if fault.has_long_task else 0.0)
    steps: list[Callable[[], None]] = [
        lambda: observed.settle(running=long_task.running),
        trial.begin,
        *([lambda: long_task.ensure(trial)] if fault.has_long_task else []),
        lambda: fault.harm(trial),
        lambda: _repair(observed),
        lambda: long_task.finish(trial) if is_last else long_task.check(trial),
        lambda: observed.settle(running=long_task.running),
    ]
    for step in steps:
        _note_failure(step, trial)
    try:
        evidence = trial.evidence(outlived=observed.stack.agent.killed_tasks - outlived_before)
    except (CommandError, httpx.HTTPError) as error:
        return Verdict(name=fault.name, problems=(*trial.unmet, str(error)), figures={})
    return judge(fault.name, evidence)


def _repair(observed: ObservedStack) -> None:
    """Undo what a fault that failed may have left broken."""
    stack = observed.stack
    stack.agent.endpoint.recover()
    stack.database_server.thaw()
    stack.broker_server.thaw()
    with contextlib.suppress(redis.RedisError), stack.broker_server.client() as client:
        client.config_set("maxmemory", 0)
        client.replicaof("NO", "ONE")
    stack.rules.function(observed.autoscaler).unthrottle()
    for port in (EXECUTION_PORT, WEBSERVER_PORT):
        stack.network.restore(stack.outputs["AirflowServiceName"], port)


def _note_failure(step: Callable[[], None], trial: Trial) -> None:
    try:
        step()
    except (CommandError, httpx.HTTPError) as error:
        trial.unmet.append(str(error))
