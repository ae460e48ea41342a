"""A container that takes more memory than its definition allows is ended by the kernel, as on Fargate."""

import os
import sys
import time
from pathlib import Path

import pytest

from local.fargate.container import Container
from local.fargate.memory_limit import MemoryLimits, memory_limits

TAKE = "import time; taken = bytearray({mib} * 1024 * 1024); taken[::4096] = b'x' * len(taken[::4096]); time.sleep(60)"
ENDED_S = 20.0


@pytest.fixture
def limits() -> MemoryLimits:
    found = memory_limits()
    if found is None:
        pytest.skip("this process may make no control group for memory")
    return found


def started(limits: MemoryLimits, folder: Path, *, code: str, mib: int = 64) -> Container:
    return Container(
        name="greedy",
        argv=[sys.executable, "-c", code],
        env={"PATH": os.defpath},
        home=folder,
        log_path=folder / "log",
        memory=limits.new(mib),
    )


def exit_code(container: Container) -> int | None:
    deadline = time.monotonic() + ENDED_S
    while container.exit_code is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return container.exit_code


def test_a_container_within_its_limit_goes_on(limits: MemoryLimits, tmp_path: Path) -> None:
    container = started(limits, tmp_path, code=TAKE.format(mib=8))
    time.sleep(1)
    assert container.exit_code is None
    container.kill()
    assert "OutOfMemory" not in container.last_line()


def test_a_container_above_its_limit_is_killed_and_the_reason_told(limits: MemoryLimits, tmp_path: Path) -> None:
    container = started(limits, tmp_path, code=TAKE.format(mib=200))
    assert exit_code(container) == 137
    assert container.last_line() == "OutOfMemoryError: container killed due to memory usage"
    container.kill_leftovers()


def test_what_a_container_starts_counts_too(limits: MemoryLimits, tmp_path: Path) -> None:
    child = (
        f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {TAKE.format(mib=200)!r}]).returncode)"
    )
    container = started(limits, tmp_path, code=child)
    assert exit_code(container) not in (None, 0)
    assert container.last_line() == "OutOfMemoryError: container killed due to memory usage"
    container.kill_leftovers()


def test_a_container_that_is_restarted_keeps_its_limit(limits: MemoryLimits, tmp_path: Path) -> None:
    container = started(limits, tmp_path, code="")
    assert exit_code(container) == 0
    container.restart()
    assert exit_code(container) == 0
    container.kill_leftovers()


def test_a_group_is_removed_with_its_container(limits: MemoryLimits, tmp_path: Path) -> None:
    group = limits.new(64)
    container = Container(
        name="short", argv=["/bin/true"], env={}, home=tmp_path, log_path=tmp_path / "log", memory=group
    )
    assert exit_code(container) == 0
    container.kill_leftovers()
    assert not group.folder.exists()


def test_without_the_right_to_make_groups_there_are_no_limits(tmp_path: Path) -> None:
    assert memory_limits(tmp_path / "none", tmp_path / "none") is None
