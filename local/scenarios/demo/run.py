"""Triggers the burst, follows it until the workers have scaled out and back in, and writes the report."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rich.console import Console, Group

from local.scenarios.demo import metrics_page, report
from local.scenarios.demo.charts import BurstProgress, plot
from local.scenarios.demo.samples import Recorder
from local.scenarios.observed_stack import BURST_DAG, BURST_TASK
from local.scenarios.sampling import decisions
from local.stack.pools import declared_pools
from local.stack.rest_api import ADMIN, Airflow
from local.stack.telemetry import Telemetry, read_telemetry
from local.stack.up import Stack
from local.ui.display import Display
from local.ui.moving import Frames, moving_picture
from local.ui.screen import RESERVED_LINES, fit
from local.ui.snapshot import Snapshot, read_snapshot
from project import paths
from project.errors import CommandError
from project.physical_names import shorten_names

TASKS, MIN_SECONDS, MAX_SECONDS = 120, 2, 10
PEAK_WORKERS = 3
BURST_TIMEOUT_S = 300
SCALE_IN_TIMEOUT_S = 120
LOG_READERS = 4
CHECK_EVERY_S = 1.0
FRAME_EVERY_S, MOST_FRAMES = 4.0, 12  # of the moving picture
FILES = ("demo-report.json", "demo.png", "demo.svg", "demo-metrics.html")
STATES = ("scheduled", "queued", "running", "success", "failed", "up_for_retry")


def run(stack: Stack, display: Display, *, began_at: float) -> report.Report:
    """Run the demonstration on a running stack; `began_at` is time.monotonic() of the command's start."""
    airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
    recorder = Recorder(stack)
    try:
        display.step(f"waiting until Airflow has parsed the DAG {BURST_DAG}")
        airflow.wait_for_dag(BURST_DAG)
        display.step(f"running {TASKS} tasks of {MIN_SECONDS}-{MAX_SECONDS} s")
        conf = {"tasks": TASKS, "min_seconds": MIN_SECONDS, "max_seconds": MAX_SECONDS}
        run_id = airflow.trigger(BURST_DAG, conf)
        triggered_at = time.time()
        _follow(stack, display, airflow, recorder, run_id)
        display.step("reading the log of every task")
        instances = airflow.task_instances(BURST_DAG, run_id, task_id=BURST_TASK)
        readable = _readable_logs(airflow, instances)
        stored = _stored_logs(stack, run_id)
    finally:
        recorder.close()
        airflow.close()
    telemetry = read_telemetry(stack.clients.s3.meta.endpoint_url)
    samples, minimum = list(recorder.samples), int(stack.parameters["WorkerMin"])
    events = report.scale_events(decisions(stack), triggered_at=triggered_at)
    made = report.Report(
        tasks_total=TASKS,
        tasks_succeeded=sum(i["state"] == "success" for i in instances),
        tasks_killed=max(report.killed(instances), stack.agent.killed_tasks),
        peak_workers=max(s.running for s in samples),
        final_workers=samples[-1].running,
        seconds_to_first_scale_out=next((e.t for e in events if e.desired > minimum), None),
        seconds_from_backlog_to_worker=report.backlog_to_worker(samples, minimum=minimum),
        seconds_total=round(time.monotonic() - began_at, 1),
        logs_in_bucket=stored,
        scale_events=events,
        minimum_workers=minimum,
        logs_readable=readable,
        files_with_secrets=_files_with_secrets(stack),
        refused=stack.refusals.seen(),
        actions_used=stack.refusals.used(),
        tasks_counted=_counted(telemetry),
    )
    made.write(paths.STATE / "demo-report.json")
    trigger_t = triggered_at - recorder.started_at
    (paths.STATE / "demo-metrics.html").write_text(metrics_page.render(telemetry, title=made.summary()))
    plot(samples, trigger_t=trigger_t, title=made.summary(), path=paths.STATE / "demo.png")
    return made


def _follow(stack: Stack, display: Display, airflow: Airflow, recorder: Recorder, run_id: str) -> None:
    """Wait for the run's end, then for the return to the minimum; show both, and save them as a moving picture."""
    pools, peak = declared_pools(stack.clients, stack.outputs), (0, 0)
    frames, at_peak = Frames(every_s=FRAME_EVERY_S, most=MOST_FRAMES), None
    minimum, maximum = int(stack.parameters["WorkerMin"]), int(stack.parameters["WorkerMax"])
    limit_s, has_ended = BURST_TIMEOUT_S, False
    deadline = time.monotonic() + limit_s
    while True:
        states = {s: airflow.count(BURST_DAG, run_id, task_id=BURST_TASK, state=s) for s in STATES}
        recorder.waiting = states["scheduled"] + states["queued"]
        history = list(recorder.samples)
        events = [shorten_names(event) for event in stack.agent.events]
        now = recorder.latest()
        progress = BurstProgress(states=states, total=TASKS, history=history, events=events, max_workers=maximum)
        snapshot = read_snapshot(stack.broker, pools)
        display.say_periodically(progress.line())
        display.show(_draw(progress, snapshot, display.console))
        draw = partial(_draw, progress, snapshot)
        frames.add(draw, now=time.monotonic())
        if now and (now.running, now.active) >= peak:
            peak, at_peak = (now.running, now.active), draw
        if not has_ended and airflow.run_state(BURST_DAG, run_id) in ("success", "failed"):
            limit_s, has_ended = SCALE_IN_TIMEOUT_S, True
            deadline = time.monotonic() + limit_s
            display.step("scaling in")
        if has_ended and now and now.desired == now.running == minimum:
            moving = moving_picture([*frames.draws, draw], still=at_peak or draw, title="make demo")
            (paths.STATE / "demo.svg").write_text(moving)
            return
        if time.monotonic() > deadline:
            what = f"scaling in to {minimum}" if has_ended else f"the run of {TASKS} tasks"
            raise CommandError(f"{what} did not end within {limit_s} s ({progress.line()}); see {paths.LOGS}")
        time.sleep(CHECK_EVERY_S)


def _counted(telemetry: Telemetry) -> int:
    """Return the tasks that succeeded by Airflow's own metric."""
    return int(telemetry.total("airflow.ti.finish", state="success"))


def _draw(progress: BurstProgress, snapshot: Snapshot, console: Console) -> Group:
    panel = progress.panel(width=console.width)
    lines = len(console.render_lines(panel, pad=False))
    return Group(panel, fit(snapshot, console, taken=lines + RESERVED_LINES))


def _readable_logs(airflow: Airflow, instances: list[dict[str, Any]]) -> int:
    """Count the task instances whose log, read through Airflow, holds the line that this task printed."""
    pool = ThreadPoolExecutor(max_workers=LOG_READERS)
    try:
        texts = list(pool.map(airflow.log, instances))
    finally:
        # Ctrl-C must not wait for the remaining logs.
        pool.shutdown(wait=False, cancel_futures=True)
    return sum(f"task {i['map_index']} " in text for i, text in zip(instances, texts, strict=True))


def _stored_logs(stack: Stack, run_id: str) -> int:
    """Count the logs of the run's mapped tasks in the bucket."""
    pages = stack.clients.s3.get_paginator("list_objects_v2").paginate(Bucket=stack.outputs["LogBucketName"])
    keys = [o["Key"] for page in pages for o in page.get("Contents", ())]
    return sum(f"run_id={run_id}/task_id={BURST_TASK}/map_index=" in key for key in keys)


def _files_with_secrets(stack: Stack) -> tuple[str, ...]:
    logs = [path for path in paths.LOGS.rglob("*") if path.is_file()]
    found = report.files_with_secrets([*logs, paths.STATE / "local.log"], report.secrets(stack.clients.secretsmanager))
    return tuple(str(path.relative_to(paths.STATE)) for path in found)
