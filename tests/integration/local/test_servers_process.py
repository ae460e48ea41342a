"""Child processes that die with their parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local.servers.process import Child, spawn, stop

PATIENCE_S = 10.0
UNPRIVILEGED = "nobody"
ROOT = Path(__file__).parents[3]
ENV = {"PATH": os.environ["PATH"]}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes as another user")


def eventually(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def run(tmp_path: Path, *argv: str, **options: object) -> tuple[int, str]:
    log = tmp_path / "log"
    child = spawn(argv, env=ENV, cwd=tmp_path, log_path=log, **options)  # type: ignore[arg-type]
    return child.wait(PATIENCE_S), log.read_text()


def a_parent(script: str, extra_groups: list[int] | None = None) -> "subprocess.Popen[str]":
    """Run a process that starts a child through spawn and prints its pid."""
    command = [sys.executable, "-c", f"from local.servers.process import spawn\nimport os, threading, time\n{script}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, extra_groups=extra_groups)


@pytest.mark.parametrize("user", ["None", pytest.param(repr(UNPRIVILEGED), marks=needs_root)])
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path, user: str) -> None:
    options = f"env={{'PATH': os.environ['PATH']}}, cwd='/', log_path={str(tmp_path / 'log')!r}, user={user}"
    with a_parent(f"print(spawn(['sleep', '60'], {options}).pid, flush=True)\ntime.sleep(60)") as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert eventually(lambda: child.name() == "sleep")
        parent.kill()
        assert eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_the_parent_chooses_the_death_signal(tmp_path: Path) -> None:
    script = 'trap "echo asked to end; exit" INT; echo ready; while :; do sleep 0.05; done'
    options = f"env={{'PATH': os.environ['PATH']}}, cwd='/', log_path={str(tmp_path / 'log')!r}, death_signal=2"
    with a_parent(f"print(spawn(['sh', '-c', {script!r}], {options}).pid, flush=True)\ntime.sleep(60)") as parent:
        assert eventually(lambda: (tmp_path / "log").exists() and "ready" in (tmp_path / "log").read_text())
        parent.kill()
        assert eventually(lambda: "asked to end" in (tmp_path / "log").read_text())


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    children: list[Child] = []

    def start() -> None:
        children.append(spawn(["sleep", "60"], env=ENV, cwd=tmp_path, log_path=tmp_path / "log"))
        # The thread must not end before the child has asked for the signal.
        assert eventually(lambda: psutil.Process(children[0].pid).name() == "sleep")

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    child = children[0]
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    assert stop(child) == -signal.SIGTERM


def test_spawn_works_in_a_fork_of_a_process_that_has_used_it(tmp_path: Path) -> None:
    spawn_true = (
        f"spawn(['true'], env={{'PATH': os.environ['PATH']}}, cwd='/', log_path={str(tmp_path / 'log')!r}).wait()"
    )
    # One text a process: unbuffered, what is printed in parts would mix with the other's.
    with a_parent(f"{spawn_true}\npid = os.fork()\nprint('exit ' + str({spawn_true}), flush=True)") as parent:
        assert parent.communicate(timeout=PATIENCE_S)[0].count("exit 0") == 2


@needs_root
def test_a_child_of_another_user_has_that_users_group_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = f"env={{'PATH': os.environ['PATH']}}, cwd='/', log_path={str(log)!r}, user={UNPRIVILEGED!r}"
    with a_parent(f"spawn(['sh', '-c', 'id -un; id -G'], {options}).wait()", extra_groups=[0, 4]) as parent:
        parent.wait(PATIENCE_S)
    assert log.read_text().split() == [UNPRIVILEGED, "65534"]


def test_a_child_leads_a_session_of_its_own(tmp_path: Path) -> None:
    child = spawn(["sleep", "60"], env=ENV, cwd=tmp_path, log_path=tmp_path / "log")
    assert os.getsid(child.pid) == child.pid
    stop(child)


def test_a_broken_pipe_ends_a_child_as_it_ends_any_program(tmp_path: Path) -> None:
    name, mask = run(tmp_path, "sh", "-c", "grep SigIgn /proc/self/status")[1].split()
    assert name == "SigIgn:"
    # Whatever else this process was told to ignore before it began is not ours to restore.
    assert not any(int(mask, 16) & 1 << number - 1 for number in (signal.SIGPIPE, signal.SIGXFSZ))


def test_the_environment_of_a_child_is_the_given_one(tmp_path: Path) -> None:
    assert run(tmp_path, "cat", "/proc/self/environ")[1] == f"PATH={ENV['PATH']}\0"


def test_standard_input_is_empty_or_the_given_bytes(tmp_path: Path) -> None:
    assert run(tmp_path, "cat") == (0, "")
    assert run(tmp_path, "cat", stdin=b"secret") == (0, "secret")


def test_only_passed_descriptors_are_open_in_a_child(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    code, _ = run(
        tmp_path,
        "sh",
        "-c",
        f"echo hello > /proc/self/fd/{writing} && ! test -e /proc/self/fd/{reading}",
        pass_fds=(writing,),
    )
    os.close(writing)
    assert (code, os.read(reading, 10)) == (0, b"hello\n")
    os.close(reading)


def test_output_is_added_to_a_log_that_only_the_owner_reads(tmp_path: Path) -> None:
    run(tmp_path, "echo", "one")
    assert run(tmp_path, "sh", "-c", "echo two >&2")[1] == "one\ntwo\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_program_that_does_not_exist_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such program: no-such-program"):
        run(tmp_path, "no-such-program")


def test_a_program_that_cannot_be_run_says_so_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("")
    code, output = run(tmp_path, "./program")
    assert code == 127
    assert output.endswith("program: Permission denied\n")


def test_stop_kills_a_child_that_ignores_the_signal(tmp_path: Path) -> None:
    child = spawn(
        ["sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 0.05; done'],
        env=ENV,
        cwd=tmp_path,
        log_path=tmp_path / "log",
    )
    assert eventually(lambda: "ready" in (tmp_path / "log").read_text())
    assert stop(child, timeout_s=0.2) == -signal.SIGKILL
