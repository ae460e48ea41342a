"""A supervisor runs one task after the other, and carries nothing from one to the next."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.runner.client import Runner
from agent.runner.protocol import SUPERVISOR_DIED, Outcome
from agent.runner.supervisor import MOST_TASKS
from agent.runner.supervisors import IDLE_S
from tests.support.code_runner import Served, from_zygote, in_background
from tests.support.processes import below, is_alive
from tests.support.waiting import eventually, stays


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def runner(served: Served) -> Iterator[Runner]:
    connected = served.connect()
    yield connected
    connected.close()


def supervisor_of(served: Served, runner: Runner, *, first: str = "", then: str = "") -> int:
    """Run a task; return the process id of its supervisor, as the kernel tells the task."""
    code = f"import os; open({str(served.out)!r}, 'w').write(str(os.getppid()))"
    assert runner.run(from_zygote(code, first=first, then=then)) == Outcome()
    return int(served.out.read_text())


def test_tasks_that_follow_each_other_have_one_supervisor(served: Served, runner: Runner) -> None:
    assert len({supervisor_of(served, runner) for _ in range(5)}) == 1


def test_tasks_at_once_have_each_their_own(served: Served, runner: Runner) -> None:
    meeting = (
        f"import os, time; open({str(served.folder)!r} + '/at-' + str(os.getppid()), 'w')\n"
        f"while sum(n.startswith('at-') for n in os.listdir({str(served.folder)!r})) < 3: time.sleep(0.01)"
    )
    started = [in_background(runner, from_zygote(meeting)) for _ in range(3)]
    for thread, _ in started:
        thread.join(30)
    assert [outcomes for _, outcomes in started] == [[Outcome()]] * 3


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("import os; os.environ['LEFT'] = 'of a task'", id="environment"),
        pytest.param("import os; os.chdir('/')", id="folder"),
        pytest.param("import os; os.open('/dev/null', os.O_RDONLY)", id="open file"),
        pytest.param("import os; os.pipe()", id="pipe"),
        pytest.param("import socket, sys; sys.left = socket.socketpair()", id="socket"),
        pytest.param("import logging; logging.root.addHandler(logging.NullHandler())", id="log handler"),
        pytest.param("import logging; logging.getLogger('a.b').addHandler(logging.NullHandler())", id="logger"),
        pytest.param("import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)", id="signal handler"),
        pytest.param("import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [10])", id="blocked signal"),
        pytest.param("import signal; signal.alarm(60)", id="timer"),
        pytest.param(
            "import threading, time; threading.Thread(target=time.sleep, args=(5,), daemon=True).start()", id="thread"
        ),
        pytest.param("import os; os.umask(0)", id="umask"),
        pytest.param(
            "import psutil; [each.kill() or each.wait() for each in psutil.Process().children()]", id="zygote killed"
        ),
    ],
)
def test_a_supervisor_that_is_not_as_before_is_not_used_again(change: str, served: Served, runner: Runner) -> None:
    first = supervisor_of(served, runner)
    assert supervisor_of(served, runner, then=change) == first
    assert supervisor_of(served, runner) != first
    assert eventually(lambda: first not in [each.pid for each in served.children()])


def test_context_variables_end_with_their_task(served: Served, runner: Runner) -> None:
    first = supervisor_of(served, runner, first="import decimal; decimal.getcontext().prec = 3")
    note = f"import decimal; open({str(served.folder / 'precision')!r}, 'w').write(str(decimal.getcontext().prec))"
    assert supervisor_of(served, runner, first=note) == first
    assert (served.folder / "precision").read_text() == "28"


@pytest.mark.parametrize("error", ["raise LookupError('no such bundle')", "raise SystemExit"])
def test_a_supervisor_that_has_failed_is_not_used_again(error: str, served: Served, runner: Runner) -> None:
    first = supervisor_of(served, runner)
    outcome = runner.run(from_zygote("", then=error))
    assert outcome is not None
    assert not outcome.is_whole
    assert supervisor_of(served, runner) != first


def test_a_supervisor_is_replaced_after_many_tasks(served: Served, runner: Runner) -> None:
    supervisors = [supervisor_of(served, runner) for _ in range(MOST_TASKS + 1)]
    assert len(set(supervisors[:-1])) == 1
    assert supervisors[-1] != supervisors[0]


def test_an_idle_supervisor_ends_with_its_zygote(served: Served, runner: Runner) -> None:
    supervisor_of(served, runner)
    assert stays(lambda: len(below(served.process.pid)) == 2, for_s=IDLE_S / 2)
    assert eventually(lambda: not below(served.process.pid), within_s=IDLE_S + 2)


def test_a_supervisor_that_dies_while_it_is_idle_is_replaced(served: Served, runner: Runner) -> None:
    first = supervisor_of(served, runner)
    family = [psutil.Process(first), *below(first)]
    psutil.Process(first).kill()
    assert eventually(lambda: not is_alive(family[0]))
    assert supervisor_of(served, runner) != first
    assert eventually(lambda: not any(map(is_alive, family)))


def test_a_task_that_was_given_to_a_dying_supervisor_has_not_begun(served: Served, runner: Runner) -> None:
    """The worker queues it again."""
    supervisor = psutil.Process(supervisor_of(served, runner))
    supervisor.suspend()
    thread, outcomes = in_background(runner, from_zygote("pass"))
    assert stays(thread.is_alive, for_s=0.5)
    supervisor.kill()
    thread.join(10)
    assert [outcome and (outcome.is_started, outcome.error) for outcome in outcomes] == [(False, SUPERVISOR_DIED)]


def test_a_task_whose_process_cannot_be_forked_has_not_begun(served: Served, runner: Runner) -> None:
    """Its zygote has been killed since the task before. The worker queues it again."""
    first = supervisor_of(served, runner)
    (zygote,) = below(first)
    zygote.kill()
    assert eventually(lambda: not is_alive(zygote))
    outcome = runner.run(from_zygote("pass"))
    assert outcome is not None
    assert (outcome.is_started, outcome.error) == (False, "ZygoteDiedError")
    assert supervisor_of(served, runner) != first


def test_the_runner_ends_its_idle_supervisors_with_its_worker(served: Served, runner: Runner) -> None:
    supervisor_of(served, runner)
    family = below(served.process.pid)
    runner.close()
    assert eventually(lambda: served.process.poll() == 0, within_s=IDLE_S)
    assert not any(map(is_alive, family))


def test_idle_supervisors_end_when_the_runner_dies(served: Served, runner: Runner) -> None:
    supervisor_of(served, runner)
    family = below(served.process.pid)
    served.process.kill()
    assert eventually(lambda: not any(map(is_alive, family)))


def test_a_task_has_nothing_open_but_its_own(served: Served, runner: Runner) -> None:
    """Beside it others run, and wait for tasks."""
    others = [in_background(runner, from_zygote("import time; time.sleep(3)")) for _ in range(2)]
    assert eventually(lambda: len(below(served.process.pid)) == 6)
    code = f"""
import os
found = [os.path.basename(os.readlink('/proc/self/fd/' + name)) for name in os.listdir('/proc/self/fd')
         if int(name) > 2 and os.path.exists('/proc/self/fd/' + name)]
open({str(served.out)!r}, 'w').write('\\n'.join(found))
"""
    assert runner.run(from_zygote(code)) == Outcome()
    sockets = [each for each in served.out.read_text().split() if each.startswith("socket:")]
    assert len(sockets) == 4
    for thread, _ in others:
        thread.join(10)


def test_a_task_is_to_libc_and_python_a_process_as_any_other(served: Served, runner: Runner) -> None:
    """Its own thread's id in libc is the kernel's, and Python has run what has to run after a fork."""
    code = f"""
import os, random, threading, time
time.clock_gettime(time.pthread_getcpuclockid(threading.get_ident()))
thread = threading.Thread(target=time.sleep, args=(0,))
thread.start()
thread.join()
if (pid := os.fork()) == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
open({str(served.folder)!r} + '/task-' + str(os.getpid()), 'w').write(str(random.random()))
"""
    for _ in range(2):
        assert runner.run(from_zygote(code)) == Outcome()
    told = [path.read_text() for path in served.folder.glob("task-*")]
    assert len(set(told)) == 2
