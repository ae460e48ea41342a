"""The runner as a real process, served by the worker's end of the connection. Its workloads are Python code."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from agent.runner import protocol, running
from agent.runner.client import Runner, RunnerUnavailable
from agent.runner.protocol import Outcome
from project import paths
from tests.support.code_runner import Served, from_zygote, in_background
from tests.support.processes import below, end_all_below, is_alive
from tests.support.waiting import eventually, stays

TOKEN = "eyJ-a-token-of-this-workload"
SUPERVISOR, ZYGOTE = "supervisor", "zygote"
by_both = pytest.mark.parametrize("forked_by", [SUPERVISOR, ZYGOTE])
# A supervisor with a task below it, both waiting. The task has the title that Airflow gives it.
WITH_A_TASK = """
import os, subprocess, sys
task = subprocess.Popen(["airflow worker -- 1", "-c", "import time; time.sleep(60)"], executable=sys.executable)
task.wait()
"""


# A task as Airflow's supervisor forks it. Each process of it writes its id into a file.
TASK = """
import os, signal, sys, time

def note():
    path = {folder!r} + "/of-task-" + str(os.getpid())
    open(path + "~", "w").close()
    os.rename(path + "~", path)

def sleep():
    note()
    time.sleep(60)
    os._exit(0)

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            sleep()
        os._exit(0)
    os.wait()

def started(of):
    while sum(name.startswith("of-task") and "~" not in name for name in os.listdir({folder!r})) < of:
        time.sleep(0.01)

if {is_task}:
    os.setpgid(0, 0)
    {code}
    os._exit(0)
os.wait()
"""
CHILD_IN_ITS_GROUP = "os.fork() or sleep(); sleep()"
DAEMON = "daemon(); sleep()"
NOHUP = "import subprocess; subprocess.Popen(['nohup', 'setsid', 'sleep', '60'], env={}); daemon(); sleep()"
UNBOUND = "import ctypes; ctypes.CDLL(None).prctl(1, 0, 0, 0, 0); daemon(); sleep()"
IGNORES_SIGNALS = "[signal.signal(each, signal.SIG_IGN) for each in (1, 2, 15)]; daemon(); sleep()"
# Each generation is in a session of its own, and ends when it has forked the next. The last one ends after a
# minute, also if the test was killed half-way.
ALWAYS_ANOTHER = """note(); daemon()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
        os.setsid()"""


def task(folder: Path, code: str, forked_by: str = SUPERVISOR, *, then: str = "") -> str:
    """Return the workload of a task. `then`: what its supervisor does after the task's end."""
    is_task = "os.fork() == 0" if forked_by == SUPERVISOR else "True"
    written = TASK.replace("{folder!r}", repr(str(folder))).replace("{code}", code).replace("{is_task}", is_task)
    return written + then if forked_by == SUPERVISOR else from_zygote(written, then=then)


NO_RUNNER = """
from celery.signals import worker_init
from agent import handover
from agent.runner.client import Runner
connect = Runner.connect
Runner.connect = lambda folder: connect(folder, timeout_s=0.2)
worker_init.send(sender=None)
print("goes on")
"""


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


def test_a_workload_runs_to_its_end_in_a_process_of_its_own(served: Served, runner: Runner) -> None:
    code = f"import os; open({str(served.out)!r}, 'w').write(str(os.getpid()))"
    assert runner.run(code) == Outcome()
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
    assert runner.run("raise LookupError('no such bundle')") == Outcome(error="LookupError", reason="no such bundle")


@pytest.mark.parametrize(
    ("code", "status"), [("import os; os.kill(os.getpid(), 9)", 9), ("import os; os._exit(3)", 3 << 8)]
)
def test_the_runner_answers_for_a_supervisor_that_dies(runner: Runner, code: str, status: int) -> None:
    outcome = runner.run(code)
    assert outcome is not None
    assert (outcome.is_started, outcome.error) == (True, protocol.SUPERVISOR_DIED)
    assert f"wait status {status}" in outcome.reason
    assert runner.run("pass") == Outcome()


@by_both
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(CHILD_IN_ITS_GROUP, id="child in its group"),
        pytest.param(DAEMON, id="daemon"),
        pytest.param(NOHUP, id="nohup"),
        pytest.param(UNBOUND, id="task that goes on without its supervisor"),
        pytest.param(IGNORES_SIGNALS, id="ignores signals"),
    ],
)
def test_all_of_a_task_ends_with_its_supervisor_before_the_worker_is_told(
    code: str, times: int, forked_by: str, served: Served, runner: Runner
) -> None:
    neighbour = neighbour_of(served, runner)
    for number in range(times):
        folder = served.folder / str(number)
        folder.mkdir()
        thread, outcomes = in_background(runner, task(folder, code, forked_by))
        assert eventually(lambda: len(processes_in(folder)) == 2)  # noqa: B023 - called at once
        (supervisor,) = [each for each in served.children() if each != neighbour.supervisor]
        family = [*processes_in(folder), *below(supervisor.pid)]
        supervisor.kill()
        killed_at = time.monotonic()
        thread.join(10)
        assert time.monotonic() - killed_at < 2
        assert [each for each in family if is_alive(each)] == []
        ((outcome),) = outcomes
        assert outcome is not None
        assert outcome.error == protocol.SUPERVISOR_DIED
        assert outcome.left_behind >= 1
    neighbour.is_unharmed()


@by_both
def test_the_worker_is_not_told_while_something_of_a_task_still_runs(
    forked_by: str, served: Served, runner: Runner
) -> None:
    """The runner stands still, so nothing can be ended: the worker waits, and counts the task as active."""
    thread, outcomes = in_background(runner, task(served.folder, DAEMON, forked_by))
    assert eventually(lambda: len(processes_in(served.folder)) == 2)
    (supervisor,) = served.children()
    family = processes_in(served.folder)
    os.kill(served.process.pid, signal.SIGSTOP)
    supervisor.kill()
    assert stays(lambda: thread.is_alive() and any(map(is_alive, family)), for_s=1.5)
    os.kill(served.process.pid, signal.SIGCONT)
    thread.join(10)
    assert not any(map(is_alive, family))
    assert [outcome and outcome.error for outcome in outcomes] == [protocol.SUPERVISOR_DIED]


@by_both
@pytest.mark.parametrize(
    ("code", "count", "most_s"),
    [
        pytest.param("os.fork() or sleep(); started(of=1)", 1, 2.5, id="child in its group"),
        pytest.param("daemon(); started(of=1)", 1, 2.5, id="daemon"),
        pytest.param("daemon(); daemon(); started(of=2); os.kill(os.getpid(), 9)", 2, 2.5, id="killed task"),
        pytest.param(f"{IGNORES_SIGNALS.replace('sleep()', 'started(of=1)')}", 1, 3.5, id="ignores signals"),
    ],
)
def test_what_a_task_leaves_behind_ends_with_it(
    code: str, count: int, most_s: float, forked_by: str, served: Served, runner: Runner
) -> None:
    neighbour = neighbour_of(served, runner)
    began = time.monotonic()
    assert runner.run(task(served.folder, code, forked_by)) == Outcome(left_behind=count)
    assert time.monotonic() - began < most_s
    left = list(served.folder.glob("of-task-*"))
    assert len(left) == count
    assert processes_in(served.folder) == []
    neighbour.is_unharmed()


@by_both
def test_what_ends_shortly_after_its_task_gets_no_signal(forked_by: str, served: Served, runner: Runner) -> None:
    code = f"os.fork() or (time.sleep(0.2), open({str(served.out)!r}, 'w').write('whole'), os._exit(0))"
    assert runner.run(task(served.folder, code, forked_by)) == Outcome()
    assert served.out.read_text() == "whole"


@by_both
def test_what_a_task_leaves_behind_ends_while_the_supervisor_still_works(
    forked_by: str, served: Served, runner: Runner
) -> None:
    """It uploads the log, for example; a program that it starts itself meanwhile is left alone."""
    then = f"import subprocess; subprocess.run(['sleep', '3']); open({str(served.out)!r}, 'w').write('uploaded')"
    thread, outcomes = in_background(runner, task(served.folder, "daemon(); started(of=1)", forked_by, then=then))
    assert eventually(lambda: bool(list(served.folder.glob("of-task-*"))))
    assert eventually(lambda: not processes_in(served.folder), within_s=2)
    assert thread.is_alive()
    thread.join(10)
    assert outcomes == [Outcome(left_behind=1)]
    assert served.out.read_text() == "uploaded"


@by_both
@pytest.mark.parametrize("is_killed", [True, False], ids=["supervisor killed", "task ended"])
def test_a_process_that_is_always_another_one_holds_no_slot_for_long(
    is_killed: bool, forked_by: str, served: Served, runner: Runner
) -> None:
    neighbour = neighbour_of(served, runner)
    thread, _ = in_background(runner, task(served.folder, ALWAYS_ANOTHER, forked_by))
    assert eventually(lambda: len(list(served.folder.glob("of-task-*"))) == 2)
    if is_killed:
        (supervisor,) = [each for each in served.children() if each != neighbour.supervisor]
        supervisor.kill()
    thread.join(15)
    assert not thread.is_alive()
    assert eventually(lambda: served.children() == [neighbour.supervisor])
    neighbour.is_unharmed()


@by_both
def test_orphans_that_end_while_their_task_runs_leave_no_entry_in_the_kernels_table(
    forked_by: str, served: Served, runner: Runner
) -> None:
    many = "[(os.fork() or (os.fork() or os._exit(0), os._exit(0)), os.wait()) for _ in range(20)]; note(); sleep()"
    thread, _ = in_background(runner, task(served.folder, many, forked_by))
    assert eventually(lambda: len(processes_in(served.folder)) == 1, within_s=60)
    (supervisor,) = served.children()
    own = 1 if forked_by == SUPERVISOR else 2  # the zygote
    assert eventually(lambda: len(below(supervisor.pid)) == own, within_s=60)
    supervisor.kill()
    thread.join(10)


@dataclass(frozen=True)
class Neighbour:
    """A task with a daemon, which must go on."""

    supervisor: psutil.Process
    family: list[psutil.Process]

    def is_unharmed(self) -> None:
        assert all(map(is_alive, [self.supervisor, *self.family]))


def neighbour_of(served: Served, runner: Runner) -> Neighbour:
    folder = served.folder / "neighbour"
    folder.mkdir()
    in_background(runner, task(folder, DAEMON))
    assert eventually(lambda: len(processes_in(folder)) == 2)
    (supervisor,) = served.children()
    return Neighbour(supervisor, processes_in(folder))


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes of a task that run, and have noted their ids in `folder`."""
    found = []
    for path in folder.glob("of-task-*[0-9]"):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(int(path.name.rpartition("-")[2])))
    return [process for process in found if is_alive(process)]


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


@by_both
def test_a_task_cannot_pose_as_its_supervisor(forked_by: str, served: Served, runner: Runner) -> None:
    """It looks for a socket among its descriptors, as a hostile task would."""
    forged = json.dumps({"is_started": False, "error": "", "reason": "forged"})
    hostile = f"""
import os, socket, stat
if IS_TASK:
    for fd in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                socket.socket(fileno=fd).send({forged.encode()!r})
        except OSError:
            pass
    os._exit(0)
os.wait()
"""
    assert runner.run(with_a_fork(hostile, forked_by)) == Outcome()


def with_a_fork(code: str, forked_by: str) -> str:
    if forked_by == SUPERVISOR:
        return code.replace("IS_TASK", "os.fork() == 0")
    return from_zygote(code.replace("IS_TASK", "True"))


@by_both
def test_a_task_shares_no_memory_with_the_runner(forked_by: str, served: Served, runner: Runner) -> None:
    """It could say which process its supervisor's death ends, and why another task was ended."""
    others = [in_background(runner, "import time; time.sleep(5)") for _ in range(2)]
    assert eventually(lambda: len(served.children()) == 2)
    shares = f"""
import os
if IS_TASK:
    shared = [line for line in open("/proc/self/maps") if line.split()[1] == "rw-s"]
    open({str(served.out)!r}, "w").write(str(shared))
    os._exit(0)
os.wait()
"""
    assert runner.run(with_a_fork(shares, forked_by)) == Outcome()
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


@pytest.mark.parametrize(
    ("workload", "count"), [("import time; time.sleep(30)", 1), (from_zygote("import time; time.sleep(30)"), 3)]
)
def test_no_other_process_of_the_user_may_read_a_supervisor(
    workload: str, count: int, served: Served, runner: Runner
) -> None:
    """Nor its zygote, nor its task."""
    thread, _ = in_background(runner, workload)
    assert eventually(lambda: len(below(served.process.pid)) == count)
    for pid in (served.process.pid, *(each.pid for each in below(served.process.pid))):
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
    assert runner.run("pass") == Outcome()
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
    noticed = threading.Thread(target=runner.listen, args=(lambda _: None,))
    noticed.start()
    served.process.kill()
    noticed.join(10)
    assert not noticed.is_alive()
    with pytest.raises(OSError, match=r"Broken pipe|reset|not connected"):
        runner.run("pass")


def test_a_workload_that_no_one_has_read_when_the_runner_dies_has_not_begun(served: Served, runner: Runner) -> None:
    """The worker queues it again."""
    assert runner.run("pass") == Outcome()
    served.process.send_signal(signal.SIGSTOP)
    thread, outcomes = in_background(runner, "pass")
    assert stays(thread.is_alive, for_s=0.5)
    served.process.kill()
    thread.join(10)
    assert [outcome and outcome.is_started for outcome in outcomes] == [False]


def test_the_worker_can_connect_while_the_runner_imports_airflow(tmp_path: Path) -> None:
    """Here Airflow is a package whose import takes a minute."""
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "__init__.py").write_text("import time; time.sleep(60)")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{tmp_path}:{paths.IMAGE_PYTHONPATH}",
        "SHARED_FOLDER": str(tmp_path),
    }
    with subprocess.Popen([sys.executable, "-m", "agent.runner"], env=environment) as process:
        try:
            Runner.connect(tmp_path, timeout_s=20).close()
        finally:
            process.kill()


def test_a_workload_that_runs_when_the_runner_dies_goes_on(served: Served, runner: Runner) -> None:
    wait = f"import os, time\nwhile not os.path.exists({str(served.out)!r}): time.sleep(0.05)"
    thread, outcomes = in_background(runner, wait)
    assert eventually(lambda: len(served.children()) == 1)
    served.process.kill()
    served.process.wait()
    served.out.write_text("")
    thread.join(10)
    assert outcomes == [Outcome()]


def test_a_worker_whose_runner_does_not_listen_in_time_ends(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths.IMAGE_PYTHONPATH, "SHARED_FOLDER": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", NO_RUNNER], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "no runner listens in" in done.stderr


def test_a_runner_whose_folder_has_a_long_path_is_found(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    served = Served(folder)
    try:
        runner = served.connect()
        assert runner.run("pass") == Outcome()
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
