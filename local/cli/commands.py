"""The commands of the local stack, each of which returns its exit code."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import psutil
import redis
from rich.console import Console

from local.scenarios import prewarm as scheduled
from local.scenarios.demo import run as burst
from local.scenarios.faults import failures, long_task, run, starvation
from local.stack import inside, kept, live_dags, release, sam
from local.stack.advice import advice
from local.stack.airflow_settings import AIRFLOW, TASKS
from local.stack.preflight import preflight
from local.stack.rest_api import ADMIN, Airflow
from local.stack.seed import find_seed, read_seed
from local.stack.up import CONFIG_ENV, Stack, outputs_of
from local.stack.up import up as bring_up
from local.ui.decisions import line, read_decisions, rows_of, table, unreadable_note
from local.ui.display import Display
from local.ui.monitor import monitor
from local.ui.snapshot import DECISIONS_READ
from project import paths, running
from project.clients import Clients
from project.errors import CommandError
from roles.environment_settings import parse_settings

DOWN_TIMEOUT_S = 60
ROWS_SHOWN = 20


def demo() -> int:
    """Bring the stack up, run a burst of tasks, take everything down, report; 0 only if the report has no problem."""
    began_at = time.monotonic()
    with Display() as display, bring_up(display.step, warn=display.warn) as stack:
        _show_addresses(display, stack)
        made = burst.run(stack, display, began_at=began_at)
        display.step("stopping everything")
    problems = made.problems(at_least_peak=burst.PEAK_WORKERS)
    for problem in problems:
        display.say(f"[red]✗[/] {problem}")
    if not problems:
        display.say(f"[green]✓[/] {made.summary()}")
    if made.seconds_from_backlog_to_worker is not None:
        display.say(
            f"  the first extra worker was started {made.seconds_from_backlog_to_worker:g} s after the first backlog"
        )
    display.say("  ".join(["", *(str(paths.STATE / name) for name in burst.FILES)]))
    return 1 if problems else 0


def faults(
    only: Sequence[str], *, autoscaler_away_s: float | None, long_task_s: float | None, flood_tasks: int | None
) -> int:
    """Provoke the named faults, or all, on stacks of their own; 0 only if every one holds."""
    return run.run(
        only=only,
        autoscaler_away_s=autoscaler_away_s or failures.AUTOSCALER_AWAY_S,
        long_task_s=long_task_s or long_task.LONG_TASK_S,
        flood_tasks=flood_tasks or starvation.FLOOD_TASKS,
    )


def prewarm() -> int:
    """Run a DAG by the clock without and with a forecast; 0 only if the second run found its workers consuming."""
    return scheduled.run()


def up(dags: Path | None = None, *, keeps: bool = False) -> int:
    """Bring the stack up and keep it until a signal, which is its regular end. `dags`: a folder that it reads live.

    `keeps`: connections and variables, from the last such start until the next one.
    """
    live = None if dags is None else live_dags.check_folder(dags)
    seed = find_seed(live)
    read_seed(seed)  # a fault in it shows before anything starts
    with (
        Display() as display,
        bring_up(
            display.step,
            warn=display.warn,
            settings=None if live is None else live_dags.settings(live),
            reveal=() if live is None else (live,),
        ) as stack,
        contextlib.closing(_follow(stack, display, live, [*([kept.KEPT] if keeps else []), seed])) as follower,
    ):
        _show_addresses(display, stack)
        if live is not None:
            display.say(f"  DAG files are read from {live}")
        display.step("the stack runs; Ctrl-C, or `make down` elsewhere, ends it")
        try:
            monitor(stack, display, failures=follower.lines)
        except KeyboardInterrupt:
            if keeps:
                display.step("keeping connections and variables")
                display.say(f"  {kept.keep().summary()} in {kept.KEPT}")
            display.step("stopping everything")
            return 0


def _follow(stack: Stack, display: Display, live: Path | None, seeds: Sequence[Path]) -> live_dags.Follower:
    """Store the seeds, the last one over the others, and follow the last one and the folder."""
    client = Airflow(stack.webserver_url, user=ADMIN, password=stack.password, attempts=1)
    for seed in filter(Path.exists, seeds):
        display.say(f"  {live_dags.first_seed(client, seed)} from {seed}")
    follower = live_dags.Follower(client, folder=live, seed=seeds[-1])
    follower.start()
    return follower


def airflow(arguments: Sequence[str]) -> NoReturn:
    """Become Airflow's command line interface in a container of the running stack."""
    inside.become(["airflow", *arguments])


def shell() -> NoReturn:
    """Become a shell in a container of the running stack."""
    inside.become(["bash", "--norc", "-i"])


def decisions() -> int:
    """Print the last decisions of the running stack."""
    try:
        stack = running.find_stack()
        with stack.broker() as broker:
            found = read_decisions(broker, stack.pools, DECISIONS_READ)
    except redis.RedisError as error:
        raise CommandError(f"the local stack's Redis does not answer: {type(error).__name__}") from None
    rows, note = rows_of(found.found)[-ROWS_SHOWN:], unreadable_note(found.unreadable)
    console = Console(highlight=False)
    if not rows:
        console.print(note or "the autoscaler has made no decision yet")
    elif console.is_terminal:
        console.print(table(rows, note=note))
    else:
        for row in rows:
            print(line(row))
        if note:
            print(note)
    return 0


def deploy(version: str) -> int:
    """Roll the image `version` out on the running stack. CloudFormation rolls back if a service does not settle.

    An empty version stands for one that is made of the image's content.
    """
    config = preflight(CONFIG_ENV).config
    where = running.find_stack()
    clients = Clients(where.endpoint, where.region)
    with Display() as display:
        display.step("checking the DAG files")
        release.refuse_broken_dags()
        version = version or release.make_version()
        is_new = release.build(version, config=config)
        display.say(f"  version {version}" + ("" if is_new else ", which exists and is deployed as it was built"))
        display.step("building the functions")
        building = sam.build()
        try:
            building.wait()
        finally:
            building.kill()
        display.step("deploying the template with sam deploy, which replaces the services' tasks")
        cluster = outputs_of(clients, config.stack_name)["ClusterName"]
        progress = release.Progress(clients, cluster=cluster, report=lambda line: display.say(f"  {line}"))
        release.deploy(version, config=config, clients=clients, meanwhile=progress.tell)
        progress.wait()
    return 0


def check(name: str) -> int:
    """Check an environment's parameters as CloudFormation does, and name those that an operator should not leave so."""
    found = preflight(name)
    print(f"{name}: {len(found.config.parameters)} parameters, all valid")
    for title, containers in ((AIRFLOW, "the service airflow"), (TASKS, "the service airflow and the workers")):
        for setting, value in parse_settings(found.config.parameters.get(title, "")).items():
            print(f"{name}: {containers}: {setting}={value}")
    print(f"{name}: {found.budget}")
    for note in advice(found.config.parameters, region=found.config.region):
        print(f"{name}: note: {note}")
    return 0


def down() -> int:
    """End the running stack; without one, do nothing."""
    with contextlib.suppress(FileNotFoundError), paths.LOCK.open("r+") as lock:
        deadline = time.monotonic() + DOWN_TIMEOUT_S
        asked, waits_for = False, frozenset[str]()
        while not _is_free(lock.fileno()):
            lock.seek(0)
            pid = lock.read().strip()
            if pid and not asked:
                os.kill(int(pid), signal.SIGTERM)
                asked = True
            if pid and (left := _processes_of(int(pid))) and left.keys() != waits_for:
                waits_for = frozenset(left)
                print(f"waiting for the stack's processes: {in_words(left)}", flush=True)
            if time.monotonic() > deadline:
                raise CommandError(f"the local stack (process {pid}) did not end within {DOWN_TIMEOUT_S} s")
            time.sleep(0.2)
    return 0


def _processes_of(pid: int) -> Counter[str]:
    """Return how many processes of each program the stack has started."""
    programs: Counter[str] = Counter()
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                programs[program_of(process.cmdline(), name=process.name())] += 1
    return programs


def program_of(command: Sequence[str], *, name: str) -> str:
    """Return a process's program. `name`: the kernel's, which has at most 15 characters and is all that a zombie has.

    A program may write a title in place of its command, such as "postgres: walwriter" or "airflow worker -- LocalTask".
    """
    title = command[0].split() if command else []
    return Path(title[0].rstrip(":")).name if title else name.split(":")[0]


def in_words(programs: Mapping[str, int]) -> str:
    """Return programs with how many processes each has, such as "postgres (14 processes), redis-server"."""
    return ", ".join(f"{name} ({n} processes)" if n > 1 else name for name, n in sorted(programs.items()))


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _show_addresses(display: Display, stack: Stack) -> None:
    # The password is for the person at the terminal, not for a log that CI keeps.
    sign_in = f"   user admin, password {stack.password}" if display.console.is_terminal else ""
    flower = f"   Flower {stack.flower_url}" if stack.flower_url else ""
    display.say(f"  Airflow {stack.webserver_url}{flower}{sign_in}")
