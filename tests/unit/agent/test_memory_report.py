"""What the runner tells a supervisor about its task's memory."""

import os

from agent.runner.container_memory import MIB
from agent.runner.memory_report import MemoryReport, Told, ended


def test_it_tells_the_peak() -> None:
    report = MemoryReport()
    assert report.told() == Told(peak=None, limit=None)
    for use in (5, 9, 7):
        report.note(use)
    assert report.told() == Told(peak=9, limit=None)


def test_it_tells_for_which_limit_the_task_was_ended() -> None:
    report = MemoryReport()
    report.note(9)
    report.end(use=12, limit=100)
    assert report.told() == Told(peak=12, limit=100)


def test_a_forked_process_reads_what_is_noted_later() -> None:
    report = MemoryReport()
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.read(reader, 1)
        os._exit(report.told().peak or 0)
    report.note(42)
    os.write(writer, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_the_line_for_the_log_says_how_much_and_what_to_do() -> None:
    assert ended(Told(peak=1434 * MIB, limit=7702 * MIB)) == (
        "This task was ended because its worker ran out of memory. It held 1,434 MiB; all tasks of a worker have 7,702 "
        "MiB together. Let the task handle less at once, or run it in a pool with larger workers (docs/pools.md)."
    )
