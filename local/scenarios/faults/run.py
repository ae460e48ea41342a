"""Runs the chosen faults one after another on one stack, and writes down the verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import httpx

from local.scenarios.faults.ground import Ground, Trial
from local.scenarios.faults.matrix import SETTINGS, Fault, faults
from local.scenarios.faults.verdict import Verdict, judge
from local.stack.up import Stack, up
from local.ui.view import View
from project import paths
from project.errors import CommandError

REPORT = paths.STATE / "faults.json"


def run(*, only: Sequence[str], autoscaler_away_s: float) -> int:
    """Bring the stack up, do the faults (all, or those named), take it down; 0 only if every one holds."""
    chosen = choose(faults(autoscaler_away_s=autoscaler_away_s), only)
    with View() as view, up(view.step, settings=SETTINGS) as stack:
        verdicts = _all(stack, view, chosen)
        view.step("stopping everything")
    REPORT.write_text(json.dumps([verdict.to_record() for verdict in verdicts], indent=2) + "\n")
    held = sum(verdict.holds for verdict in verdicts)
    print(f"{held} of {len(verdicts)} faults hold; {REPORT}")
    return 0 if held == len(chosen) else 1


def choose(every: Sequence[Fault], only: Sequence[str]) -> tuple[Fault, ...]:
    """Return the faults that are named, in the matrix's order, all when none is; CommandError for an unknown name."""
    names = [fault.name for fault in every]
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise CommandError(f"no such fault: {', '.join(unknown)}; there are: {', '.join(names)}")
    return tuple(fault for fault in every if not only or fault.name in only)


def _all(stack: Stack, view: View, chosen: Sequence[Fault]) -> list[Verdict]:
    ground = Ground(stack)
    verdicts = []
    try:
        for fault in chosen:
            view.step(f"{fault.name}: {fault.what}")
            verdict = _one(ground, fault)
            verdicts.append(verdict)
            view.say(f"{'[green]✓[/]' if verdict.holds else '[red]✗[/]'} {verdict.line()}")
    finally:
        ground.close()
    return verdicts


def _one(ground: Ground, fault: Fault) -> Verdict:
    """Settle, harm, mend, settle, judge. What does not happen in time is part of the verdict."""
    outlived_before = ground.stack.agent.killed_tasks
    trial = Trial()
    for step in (ground.settle, lambda: _begin(ground, trial, fault), ground.mend, ground.settle):
        _note(step, trial)
    try:
        evidence = ground.evidence(trial, outlived=ground.stack.agent.killed_tasks - outlived_before)
    except (CommandError, httpx.HTTPError) as error:
        return Verdict(name=fault.name, problems=(*trial.unmet, str(error)), figures={})
    return judge(fault.name, evidence)


def _begin(ground: Ground, trial: Trial, fault: Fault) -> None:
    trial.begin()
    fault.harm(ground, trial)


def _note(step: Callable[[], None], trial: Trial) -> None:
    try:
        step()
    except (CommandError, httpx.HTTPError) as error:
        trial.unmet.append(str(error))
