"""Follows a branch of git with a local stack while its tasks run, and writes which version each task has run.

Usage: python -m tests.acceptance.dag_bundles.git_stage RESULTS PUSHES RUNS AWAY_S
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fleet.dag_versions.delivery import Delivery
from local.stack.rest_api import ADMIN, Airflow
from local.stack.up import Stack, up
from project import paths
from project.waiting import wait_until
from tests.acceptance.dag_bundles.pushes import BUNDLE, CHAIN, CHAIN_FILE
from tests.acceptance.dag_bundles.stage import PARSE_TIMEOUT_S, end_of, parsed_versions
from tests.support.git_server import GitServer, git, git_server
from tests.support.staged import perform, say

FOLLOW_S = 5
DELIVERED_WITHIN_S, ENDS_WITHIN_S = 120, 60
BRANCH = "main"


class Branch:
    """What is pushed. `numbers`: what the files of each commit say."""

    def __init__(self, server: GitServer, stack: Stack) -> None:
        self._server, self.numbers = server, dict[str, int]()
        self._delivery = Delivery(stack.clients.s3, stack.outputs["DagBucketName"], BUNDLE)

    def push(self, *, is_forced: bool = False) -> str:
        number = len(self.numbers) + 1
        files = {"dags/chain.py": CHAIN_FILE.format(number=number), "dags/beside_chain.py": f"HELPER = {number}\n"}
        commit = self._server.push(files, branch=BRANCH, is_forced=is_forced)
        self.numbers[commit] = number
        return commit

    def break_file(self) -> str:
        return self._server.push(
            {"dags/chain.py": "import nothing_of_this_name\nfrom airflow.sdk import dag\n"}, branch=BRANCH
        )

    def delete(self) -> None:
        git(self._server.bare, "update-ref", "-d", f"refs/heads/{BRANCH}")

    def reset(self, commit: str) -> None:
        git(self._server.checkout, "reset", "-q", "--hard", commit)

    def current(self) -> str:
        """Return the commit of the version that is current."""
        entry = self._delivery.pointer().current
        return "" if entry is None else entry.version.partition("-")[0]

    def delivered(self, commit: str) -> float:
        """Wait until this commit is current; return the seconds."""
        began = time.monotonic()
        wait_until(lambda: self.current() == commit, what=f"delivery of {commit}", timeout_s=DELIVERED_WITHIN_S)
        return time.monotonic() - began


@contextlib.contextmanager
def _following(url: str, said: Path) -> Iterator[None]:
    """Run the command as an operator would, until the block ends."""
    argv = [sys.executable, "-m", "ops.dags", "--env=local", f"--git={url}#{BRANCH}:dags", f"--follow={FOLLOW_S}"]
    with said.open("w") as log, subprocess.Popen(argv, cwd=paths.ROOT, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(ENDS_WITHIN_S)
            say(said.read_text())


def main(results: Path, *, pushes: int, runs: int, away_s: float) -> None:
    """Bring the stack up, push and run, spoil git as it can be spoilt, write what was seen."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, git_server(Path(name)) as server, up(say, warn=say) as stack:
        airflow = Airflow(stack.webserver_url, user=ADMIN, password=stack.password)
        log = Path(name) / "said"
        branch = Branch(server, stack)
        with contextlib.closing(airflow), _following(server.url, log):
            found["delivered"] = [branch.delivered(branch.push())]
            airflow.wait_for_dag(CHAIN, timeout_s=PARSE_TIMEOUT_S)
            airflow.unpause(CHAIN)
            started: list[str] = []
            with parsed_versions(airflow) as parsed:
                for number in range(1, pushes + 1):
                    started += [airflow.start_run(CHAIN, {}) for _ in range(number * runs // pushes - len(started))]
                    commit = branch.push()
                    found["delivered"].append(branch.delivered(commit))
                    say(f"push {number} of {pushes}")
                found |= _troubled(branch, server, airflow, started, away_s=away_s)
                found["runs"] = [end_of(airflow, CHAIN, run) for run in started]
            found["parsed"] = sorted(parsed)
        found["said"], found["numbers"] = log.read_text(), branch.numbers
        found["refused"] = list(stack.refusals.seen())
    results.write_text(json.dumps(found, indent=2))


def _troubled(
    branch: Branch, server: GitServer, airflow: Airflow, started: list[str], *, away_s: float
) -> dict[str, Any]:
    """Take git away, force a push, delete the branch, push what does not import; runs begin all the while."""
    found: dict[str, Any] = {}
    before = branch.current()
    server.is_away = True
    while_away = branch.push()
    started.append(airflow.start_run(CHAIN, {}))
    time.sleep(away_s)
    found["is_kept_while_away"] = branch.current() == before
    server.is_away = False
    found["after_away_s"] = branch.delivered(while_away)
    branch.reset(before)
    found["forced_s"] = branch.delivered(branch.push(is_forced=True))
    started.append(airflow.start_run(CHAIN, {}))
    before = branch.current()
    branch.delete()
    started.append(airflow.start_run(CHAIN, {}))
    time.sleep(3 * FOLLOW_S)
    found["is_kept_while_deleted"] = branch.current() == before
    found["after_deletion_s"] = branch.delivered(branch.push())
    before = branch.current()
    broken = branch.break_file()
    time.sleep(6 * FOLLOW_S)
    found["broken"], found["is_kept_while_broken"] = broken, branch.current() == before
    found["after_broken_s"] = branch.delivered(branch.push())
    started.append(airflow.start_run(CHAIN, {}))
    return found


if __name__ == "__main__":
    perform(partial(main, pushes=int(sys.argv[2]), runs=int(sys.argv[3]), away_s=float(sys.argv[4])))
