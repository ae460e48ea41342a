"""Triggers the burst, watches it, and waits until the workers have scaled out and back in."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rich.console import Console, Group

from local.scenarios.demo import leaks, plot, report
from local.scenarios.demo.airflow import Airflow
from local.scenarios.demo.moment import Moment
from local.scenarios.demo.samples import Recorder, decisions
from local.stack.up import Stack
from local.ui.look import Look, declared_pools, take
from local.ui.picture import save
from local.ui.screen import LINES_ELSEWHERE, fitting
from local.ui.view import View
from project import paths
from project.errors import CommandError
from project.physical_names import shorten_names
from project.waiting import wait_until

DAG_ID, TASK_ID = "burst", "work"
TASKS, MIN_SECONDS, MAX_SECONDS = 120, 2, 10
PEAK_WORKERS = 3
DAG_TIMEOUT_S = 60
BURST_TIMEOUT_S = 300
SCALE_IN_TIMEOUT_S = 120
LOG_READERS = 4
LOOK_EVERY_S = 1.0
STATES = ("scheduled", "queued", "running", "success", "failed", "up_for_retry")
ADMIN = "admin"


def run(stack: Stack, view: View, *, began_at: float) -> report.Report:
    """Run the demonstration on a running stack; `began_at` is time.monotonic() of the command's start."""
    airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
    recorder = Recorder(stack)
    try:
        view.step("waiting for the DAG")
        wait_until(lambda: airflow.dag_exists(DAG_ID), what=f"parsing of the DAG {DAG_ID}", timeout_s=DAG_TIMEOUT_S)
        view.step(f"running {TASKS} tasks of {MIN_SECONDS}-{MAX_SECONDS} s")
        conf = {"tasks": TASKS, "min_seconds": MIN_SECONDS, "max_seconds": MAX_SECONDS}
        run_id = airflow.trigger(DAG_ID, conf)
        trigger_t = time.time() - recorder.started_at
        _watch(stack, view, airflow, recorder, run_id)
        view.step("reading every log")
        instances = [i for i in airflow.task_instances(DAG_ID, run_id) if i["task_id"] == TASK_ID]
        readable = _readable_logs(airflow, instances)
        stored = _stored_logs(stack, run_id)
    finally:
        recorder.close()
        airflow.close()
    return _conclude(
        stack, recorder, instances, trigger_t=trigger_t, stored=stored, readable=readable, began_at=began_at
    )


def _watch(stack: Stack, view: View, airflow: Airflow, recorder: Recorder, run_id: str) -> None:
    """Wait for the run's end, then for the workers' return to the minimum; show both, keep a picture of the peak."""
    pools, peak = declared_pools(stack), (0, 0)
    minimum, maximum = int(stack.parameters["WorkerMin"]), int(stack.parameters["WorkerMax"])
    deadline, ended = time.monotonic() + BURST_TIMEOUT_S, False
    while True:
        states = {s: airflow.count(DAG_ID, run_id, task_id=TASK_ID, state=s) for s in STATES}
        recorder.waiting = states["scheduled"] + states["queued"]
        history = list(recorder.samples)
        events = [shorten_names(event) for event in stack.agent.events]
        now = recorder.latest()
        moment = Moment(states=states, total=TASKS, history=history, events=events, max_workers=maximum)
        look = take(stack.broker, pools)
        view.now_and_then(moment.line())
        view.show(_drawn(moment, look, view.console))
        if now and (now.running, now.active) >= peak:
            peak = (now.running, now.active)
            save(partial(_drawn, moment, look), paths.STATE / "demo.svg", title="make demo")
        if not ended and airflow.run_state(DAG_ID, run_id) in ("success", "failed"):
            ended, deadline = True, time.monotonic() + SCALE_IN_TIMEOUT_S
            view.step("scaling in")
        if ended and now and now.desired == now.running == minimum:
            return
        if time.monotonic() > deadline:
            what = f"scaling in to {minimum}" if ended else f"the run of {TASKS} tasks"
            raise CommandError(f"{what} did not end in time ({states}, {now}); see {paths.LOGS}")
        time.sleep(LOOK_EVERY_S)


def _drawn(moment: Moment, look: Look, console: Console) -> Group:
    panel = moment.panel(width=console.width)
    lines = len(console.render_lines(panel, pad=False))
    return Group(panel, fitting(look, console, taken=lines + LINES_ELSEWHERE))


def _readable_logs(airflow: Airflow, instances: list[dict[str, Any]]) -> int:
    """Count the task instances whose log, read through Airflow, holds the line that this very task printed."""
    pool = ThreadPoolExecutor(max_workers=LOG_READERS)
    try:
        texts = list(pool.map(airflow.log, instances))
    finally:
        # On Ctrl-C nobody waits for the rest.
        pool.shutdown(wait=False, cancel_futures=True)
    return sum(f"task {i['map_index']} " in text for i, text in zip(instances, texts, strict=True))


def _stored_logs(stack: Stack, run_id: str) -> int:
    """Count the logs of the run's mapped tasks in the bucket."""
    pages = stack.clients.s3.get_paginator("list_objects_v2").paginate(Bucket=stack.outputs["LogBucketName"])
    keys = [o["Key"] for page in pages for o in page.get("Contents", ())]
    return sum(f"run_id={run_id}/task_id={TASK_ID}/map_index=" in key for key in keys)


def _files_with_secrets(stack: Stack) -> tuple[str, ...]:
    logs = [path for path in paths.LOGS.rglob("*") if path.is_file()]
    found = leaks.leaking([*logs, paths.STATE / "local.log"], leaks.secrets(stack.clients.secretsmanager))
    return tuple(str(path.relative_to(paths.STATE)) for path in found)


def _conclude(
    stack: Stack,
    recorder: Recorder,
    instances: list[dict[str, Any]],
    *,
    trigger_t: float,
    stored: int,
    readable: int,
    began_at: float,
) -> report.Report:
    samples = list(recorder.samples)
    minimum = int(stack.parameters["WorkerMin"])
    events = report.scale_events(decisions(stack), triggered_at=recorder.started_at + trigger_t)
    outwards = [e.t for e in events if e.desired > minimum]
    killed = max(report.killed(instances), stack.agent.killed_tasks)
    made = report.Report(
        tasks_total=TASKS,
        tasks_succeeded=sum(i["state"] == "success" for i in instances),
        tasks_killed=killed,
        peak_workers=max(s.running for s in samples),
        final_workers=samples[-1].running,
        seconds_to_first_scale_out=outwards[0] if outwards else None,
        seconds_from_backlog_to_worker=report.backlog_to_worker(samples, minimum=minimum),
        seconds_total=round(time.monotonic() - began_at, 1),
        logs_in_bucket=stored,
        scale_events=events,
        minimum_workers=minimum,
        logs_readable=readable,
        files_with_secrets=_files_with_secrets(stack),
    )
    made.write(paths.STATE / "demo-report.json")
    workers = f"workers {minimum} → {made.peak_workers} → {made.final_workers}"
    title = f"{made.tasks_succeeded} of {TASKS} tasks succeeded, {killed} killed, {workers}"
    plot.draw(samples, trigger_t=trigger_t, title=title, path=paths.STATE / "demo.png")
    return made
