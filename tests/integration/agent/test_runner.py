"""The runner as a real process, served by the worker's end of the connection. Its workloads are Python code."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.runner import protocol, running
from agent.runner.client import Runner, RunnerUnavailable
from agent.runner.protocol import Outcome, Request
from project import paths
from tests.support.processes import below, end_all_below, is_alive
from tests.support.waiting import eventually, stays

TOKEN = "eyJ-a-token-of-this-workload"
SERVER = """
import os
from pathlib import Path
from agent.runner.server import Server, close_to_others
close_to_others()
Server(Path(os.environ["SHARED_FOLDER"]), lambda request, _: exec(request.workload), None).run()
"""
# A supervisor with a task below it, both waiting. The task has the title that Airflow gives it.
WITH_A_TASK = """
import os, subprocess, sys
task = subprocess.Popen(["airflow worker -- 1", "-c", "import time; time.sleep(60)"], executable=sys.executable)
task.wait()
"""


# A task as Airflow's supervisor forks it, which has forked a process in turn.
FORKS_A_TASK = """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0)
    os.fork()
    open({folder!r} + "/of-task-" + str(os.getpid()), "w")
    time.sleep(60)
os.wait()
"""
LEAVES_A_PROCESS = """
import os, threading
def leave():
    import os, time
    if (pid := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    open({folder!r} + "/left", "w").write(str(pid))

if os.fork() == 0:
    os.setpgid(0, 0)
    thread = threading.Thread(target=leave)
    thread.start()
    thread.join()
    os._exit(0)
os.wait()
"""


LEAVES_A_DAEMON = """
import os, time
if os.fork() == 0:
    if os.fork() == 0:
        open({out!r}, "w").write(str(os.getpid()))
        time.sleep(60)
    os._exit(0)
os.wait()
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


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def runner(served: Served) -> Iterator[Runner]:
    connected = served.connect()
    yield connected
    connected.close()


def request(code: str) -> Request:
    return Request(workload=code, dags_hash="hash")


def in_background(runner: Runner, code: str) -> tuple[threading.Thread, list[Outcome | None]]:
    outcomes: list[Outcome | None] = []
    thread = threading.Thread(target=lambda: outcomes.append(runner.run(request(code))))
    thread.start()
    return thread, outcomes


def test_a_workload_runs_to_its_end_in_a_process_of_its_own(served: Served, runner: Runner) -> None:
    code = f"import os; open({str(served.out)!r}, 'w').write(str(os.getpid()))"
    assert runner.run(request(code)) == Outcome()
    assert int(served.out.read_text()) not in (os.getpid(), served.process.pid)
    assert eventually(lambda: not served.children())


def test_workloads_run_side_by_side(served: Served, runner: Runner) -> None:
    meeting = (
        f"import os, time; open({str(served.folder)!r} + '/at-' + str(os.getpid()), 'w')\n"
        f"while sum(n.startswith('at-') for n in os.listdir({str(served.folder)!r})) < 4: time.sleep(0.01)"
    )
    started = [in_background(runner, meeting) for _ in range(4)]
    for thread, _ in started:
        thread.join(30)
    assert [outcomes for _, outcomes in started] == [[Outcome()]] * 4


def test_an_error_of_the_supervision_is_told(runner: Runner) -> None:
    assert runner.run(request("raise LookupError('no such bundle')")) == Outcome(
        error="LookupError", reason="no such bundle"
    )


@pytest.mark.parametrize("code", ["import os; os.kill(os.getpid(), 9)", "import os; os._exit(3)"])
def test_a_supervisor_that_dies_has_no_outcome(runner: Runner, code: str) -> None:
    assert runner.run(request(code)) is None
    assert runner.run(request("pass")) == Outcome()


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_a_task_ends_with_its_supervisor_and_takes_its_own_processes_along(
    times: int, served: Served, runner: Runner
) -> None:
    for number in range(times):
        folder = served.folder / str(number)
        folder.mkdir()
        thread, outcomes = in_background(runner, FORKS_A_TASK.format(folder=str(folder)))
        assert eventually(lambda: len(list(folder.glob("of-task-*"))) == 2)  # noqa: B023 - called at once
        family = below(served.process.pid)
        (supervisor,) = served.children()
        supervisor.kill()
        thread.join(10)
        assert outcomes == [None]
        assert eventually(lambda: not any(is_alive(process) for process in family), within_s=2)  # noqa: B023


def test_what_a_task_leaves_behind_goes_on(served: Served, runner: Runner) -> None:
    """A task's fork outlives the thread that made it and, as ever, the task."""
    thread, outcomes = in_background(runner, LEAVES_A_PROCESS.format(folder=str(served.folder)))
    thread.join(10)
    assert outcomes == [Outcome()]
    left = psutil.Process(int((served.folder / "left").read_text()))
    assert stays(lambda: is_alive(left), for_s=1)
    left.kill()


def test_a_process_that_a_task_leaves_behind_holds_no_slot(served: Served, runner: Runner) -> None:
    thread, outcomes = in_background(runner, LEAVES_A_DAEMON.format(out=str(served.out)))
    thread.join(10)
    assert outcomes == [Outcome()]
    assert eventually(lambda: served.out.exists() and bool(served.out.read_text()))
    os.kill(int(served.out.read_text()), signal.SIGKILL)


def test_it_is_known_whether_tasks_run_even_while_the_runner_hangs(served: Served, runner: Runner) -> None:
    assert not running.is_any(served.folder)
    thread, _ = in_background(runner, WITH_A_TASK)
    assert eventually(lambda: running.is_any(served.folder))
    os.kill(served.process.pid, signal.SIGSTOP)
    assert stays(lambda: running.is_any(served.folder), for_s=1)
    end_all_below(served.process.pid)
    assert eventually(lambda: not running.is_any(served.folder))
    os.kill(served.process.pid, signal.SIGCONT)
    thread.join(10)


def test_a_task_notes_that_it_runs_while_health_checks_ask_all_the_time(served: Served, runner: Runner) -> None:
    asking = True

    def ask() -> None:
        while asking:
            running.is_any(served.folder)

    asker = threading.Thread(target=ask)
    asker.start()
    thread, _ = in_background(runner, "import time; time.sleep(3)")
    try:
        assert eventually(lambda: len(served.children()) == 1)
        assert eventually(lambda: running.is_any(served.folder))
    finally:
        asking = False
        asker.join()
    assert running.is_any(served.folder)
    thread.join(10)


def test_a_task_cannot_pose_as_its_supervisor(served: Served, runner: Runner) -> None:
    """It looks for a socket among its descriptors, as a hostile task would."""
    forged = json.dumps({"is_started": False, "error": "", "reason": "forged"})
    hostile = f"""
import os, socket, stat
if os.fork() == 0:
    for fd in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                socket.socket(fileno=fd).send({forged.encode()!r})
        except OSError:
            pass
    os._exit(0)
os.wait()
"""
    assert runner.run(request(hostile)) == Outcome()


def test_a_task_shares_no_memory_with_the_runner(served: Served, runner: Runner) -> None:
    """It could say which process its supervisor's death ends, and why another task was ended."""
    others = [in_background(runner, "import time; time.sleep(5)") for _ in range(2)]
    assert eventually(lambda: len(served.children()) == 2)
    shares = f"""
import os
if os.fork() == 0:
    shared = [line for line in open("/proc/self/maps") if line.split()[1] == "rw-s"]
    open({str(served.out)!r}, "w").write(str(shared))
    os._exit(0)
os.wait()
"""
    assert runner.run(request(shares)) == Outcome()
    assert served.out.read_text() == "[]"
    for thread, _ in others:
        thread.join(10)


def test_a_token_is_in_no_memory_but_its_own_workloads(served: Served, runner: Runner) -> None:
    thread, _ = in_background(runner, f"import time; token = {TOKEN!r}; time.sleep(30)")
    assert eventually(lambda: len(served.children()) == 1)
    assert TOKEN.encode() in memory_of(served.children()[0].pid)
    assert TOKEN.encode() not in memory_of(served.process.pid)
    served.children()[0].kill()
    thread.join(10)


def memory_of(pid: int) -> bytes:
    """Read what a process can write to. Root may, whatever the process forbids."""
    found = bytearray()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, permissions = line.split()[:2]
            if permissions.startswith("rw"):
                low, high = (int(part, 16) for part in where.split("-"))
                memory.seek(low)
                found += memory.read(high - low)
    return bytes(found)


def test_no_other_process_of_the_user_may_read_a_supervisor(served: Served, runner: Runner) -> None:
    thread, _ = in_background(runner, "import time; time.sleep(30)")
    assert eventually(lambda: len(served.children()) == 1)
    for pid in (served.process.pid, served.children()[0].pid):
        # The kernel gives the files of a process that is not dumpable to root.
        assert (Path(f"/proc/{pid}/environ").stat().st_uid, dumpable(pid)) == (0, False)
    served.children()[0].kill()
    thread.join(10)


def dumpable(pid: int) -> bool:
    """Ask the kernel as a user without rights, if this one has them."""
    code = f"open('/proc/{pid}/environ', 'rb').read()"
    user = 65534 if os.geteuid() == 0 else None
    with Path("/dev/null").open("wb") as nowhere:
        return (
            subprocess.run(["/usr/bin/env", "python3", "-c", code], user=user, stderr=nowhere, check=False).returncode
            == 0
        )


def test_a_second_connection_is_refused(served: Served, runner: Runner) -> None:
    assert runner.run(request("pass")) == Outcome()
    assert not (served.folder / protocol.SOCKET).exists()
    with pytest.raises(RunnerUnavailable, match="no runner listens in"):
        Runner.connect(served.folder, timeout_s=0.3)


def test_tasks_are_ended_and_their_supervisors_report_it(served: Served, runner: Runner) -> None:
    thread, outcomes = in_background(runner, WITH_A_TASK)
    assert eventually(lambda: bool(below(served.process.pid)[1:]))
    runner.end_tasks()
    thread.join(20)
    assert outcomes == [Outcome()]


def test_the_runner_ends_after_its_worker_and_its_last_workload(served: Served, runner: Runner) -> None:
    thread, outcomes = in_background(
        runner, f"import os, time\nwhile not os.path.exists({str(served.out)!r}): time.sleep(0.05)"
    )
    assert eventually(lambda: len(served.children()) == 1)
    served.process.terminate()  # ECS tells both
    runner.close()
    assert stays(lambda: served.process.poll() is None, for_s=1.5)
    served.out.write_text("")
    assert eventually(lambda: served.process.poll() == 0)
    thread.join(10)
    assert outcomes == [Outcome()]


def test_a_runner_that_never_had_a_worker_ends_when_it_is_told(served: Served) -> None:
    assert eventually(lambda: (served.folder / protocol.SOCKET).exists())
    served.process.terminate()
    assert eventually(lambda: served.process.poll() == 0)


def test_a_worker_notices_that_the_runner_has_died(served: Served, runner: Runner) -> None:
    noticed = threading.Thread(target=runner.wait_until_lost)
    noticed.start()
    served.process.kill()
    noticed.join(10)
    assert not noticed.is_alive()
    with pytest.raises(OSError, match=r"Broken pipe|reset|not connected"):
        runner.run(request("pass"))


def test_a_workload_that_runs_when_the_runner_dies_goes_on(served: Served, runner: Runner) -> None:
    wait = f"import os, time\nwhile not os.path.exists({str(served.out)!r}): time.sleep(0.05)"
    thread, outcomes = in_background(runner, wait)
    assert eventually(lambda: len(served.children()) == 1)
    served.process.kill()
    served.process.wait()
    served.out.write_text("")
    thread.join(10)
    assert outcomes == [Outcome()]


def test_a_runner_whose_folder_has_a_long_path_is_found(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    served = Served(folder)
    try:
        runner = served.connect()
        assert runner.run(request("pass")) == Outcome()
        runner.close()
    finally:
        served.stop()


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"error": "x", "more": 1}', b"null", b"9" * 70_000])
def test_what_is_no_outcome_reads_as_a_lost_supervisor(answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        sender = threading.Thread(target=theirs.sendall, args=(answer,))
        sender.start()
        closer = threading.Thread(target=close_after, args=(theirs, sender))
        closer.start()
        assert protocol.receive_outcome(ours) is None
        closer.join()


def close_after(stream: socket.socket, sender: threading.Thread) -> None:
    sender.join()
    stream.close()
