"""The runner as a real process, whose workloads are Python code."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil

from agent.runner.client import Runner
from agent.runner.protocol import Outcome
from project import paths
from tests.support.processes import end_all_below

# A workload is code for the supervisor. If it is a task's, as JSON, `code` is for a process that the zygote has forked.
SERVER = """
import json, os, socket
from pathlib import Path
from agent.runner.early_task import EarlyTask
from agent.runner.server import Server, close_to_others

class Code:
    def prepare(self):
        pass

    def run(self, channels, dags_hash):
        with channels.requests.makefile() as code:
            exec(code.read(), {})

def supervise(workload, _):
    if not workload.startswith("{"):
        exec(workload, {})
        return
    sent = json.loads(workload)
    exec(sent["first"], {})
    pid, channels = tasks.take()
    channels.requests.sendall(sent["code"].encode())
    channels.requests.shutdown(socket.SHUT_WR)
    os.waitpid(pid, 0)
    channels.close()
    exec(sent["then"], {})

close_to_others()
tasks = EarlyTask(Code())
Server(Path(os.environ["SHARED_FOLDER"]), supervise, None, tasks=tasks).run()
"""


class Served:
    """A runner's process and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": paths.IMAGE_PYTHONPATH,
            "SHARED_FOLDER": str(folder),
            "AIRFLOW_HOME": str(folder),
        }
        self.process = subprocess.Popen([sys.executable, "-c", SERVER], env=environment, stdin=subprocess.DEVNULL)

    def connect(self) -> Runner:
        return Runner.connect(self.folder, timeout_s=30)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self) -> None:
        with self.process:
            end_all_below(self.process.pid)
            self.process.kill()


def in_background(runner: Runner, code: str) -> tuple[threading.Thread, list[Outcome | None]]:
    outcomes: list[Outcome | None] = []
    thread = threading.Thread(target=lambda: outcomes.append(runner.run(code)))
    thread.start()
    return thread, outcomes


def from_zygote(code: str, *, first: str = "", then: str = "") -> str:
    """Return the workload of a task: `code` is its own, `first` and `then` are its supervisor's."""
    return json.dumps({"ti": {"dag_id": "dag", "task_id": "task"}, "code": code, "first": first, "then": then})
