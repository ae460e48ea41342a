"""What counts as used memory in either version of control groups, and which group and limit count."""

from pathlib import Path

import pytest

from agent.runner.container_memory import MIB, control_group, limit_of

LIMIT = 2048 * MIB


def version_1(cgroups: Path, *, limit: int = LIMIT, at: str = "task/container", charged_mib: int = 1000) -> Path:
    """Make a group with 600 MiB of processes, 50 of them in shared memory, and 200 MiB of cached files."""
    folder = cgroups / "memory" / at
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{charged_mib * MIB}\n")
    counts = {"total_rss": 550, "total_shmem": 50, "total_active_file": 80, "total_inactive_file": 120}
    (folder / "memory.stat").write_text("".join(f"{name} {mib * MIB}\n" for name, mib in counts.items()))
    return folder


def version_2(cgroups: Path, *, limit: str = str(LIMIT), at: str = "") -> Path:
    folder = cgroups / at
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{1000 * MIB}\n")
    counts = {"anon": 550, "active_file": 80, "inactive_file": 120, "slab_reclaimable": 150, "slab_unreclaimable": 9}
    (folder / "memory.stat").write_text("".join(f"{name} {mib * MIB}\n" for name, mib in counts.items()))
    return folder


@pytest.fixture
def own_groups(tmp_path: Path) -> Path:
    path = tmp_path / "own"
    path.write_text("5:cpu:/other\n4:memory:/task/container\n0::/task/container\n")
    return path


@pytest.mark.parametrize(
    ("charged_mib", "used_mib"),
    [
        (1000, 664),  # 550 + 50 of the processes, and 64 of the kernel's 200: a 32nd of the limit
        (830, 630),  # all of the kernel's 30
    ],
)
def test_version_1_counts_processes_and_a_part_of_the_kernels_memory(
    charged_mib: int, used_mib: int, tmp_path: Path, own_groups: Path
) -> None:
    version_1(tmp_path, charged_mib=charged_mib)
    group = control_group(LIMIT, cgroups=tmp_path, own_groups=own_groups)
    assert group is not None
    assert (group.limit, group.used()) == (LIMIT, used_mib * MIB)


def test_version_2_counts_all_but_what_the_kernel_can_free(tmp_path: Path, own_groups: Path) -> None:
    version_2(tmp_path, at="task/container")
    group = control_group(LIMIT, cgroups=tmp_path, own_groups=own_groups)
    assert group is not None
    assert group.used() == (1000 - 80 - 120 - 150) * MIB


@pytest.mark.parametrize("make", [version_1, version_2])
def test_a_container_that_sees_its_group_as_the_root_finds_it(make: object, tmp_path: Path, own_groups: Path) -> None:
    folder = version_1(tmp_path, at="") if make is version_1 else version_2(tmp_path)
    group = control_group(LIMIT, cgroups=tmp_path, own_groups=own_groups)
    assert group is not None
    assert group.folder == folder


@pytest.mark.parametrize("limit", [LIMIT + MIB, 2**63 - 4096])
def test_a_group_with_a_higher_limit_may_hold_other_processes(limit: int, tmp_path: Path, own_groups: Path) -> None:
    version_1(tmp_path, limit=limit)
    assert control_group(LIMIT, cgroups=tmp_path, own_groups=own_groups) is None


def test_a_groups_own_limit_counts_where_none_is_stated(tmp_path: Path, own_groups: Path) -> None:
    version_1(tmp_path)
    group = control_group(None, cgroups=tmp_path, own_groups=own_groups)
    assert group is not None
    assert group.limit == LIMIT


@pytest.mark.parametrize("limit", ["max", "", "many"])
def test_without_a_limit_that_can_be_read_there_is_no_group(limit: str, tmp_path: Path, own_groups: Path) -> None:
    version_2(tmp_path, limit=limit, at="task/container")
    assert control_group(None, cgroups=tmp_path, own_groups=own_groups) is None


def test_a_machine_without_control_groups_has_none(tmp_path: Path) -> None:
    assert control_group(LIMIT, cgroups=tmp_path, own_groups=tmp_path / "none") is None


@pytest.mark.parametrize(
    ("text", "kills"), [("low 0\noom 4\noom_kill 3\n", 3), ("oom_kill_disable 0\nunder_oom 0\n", None), (None, None)]
)
def test_what_the_kernel_has_killed_is_known_or_not(
    text: str | None, kills: int | None, tmp_path: Path, own_groups: Path
) -> None:
    folder = version_2(tmp_path, at="task/container")
    group = control_group(LIMIT, cgroups=tmp_path, own_groups=own_groups)
    assert group is not None
    if text is not None:
        (folder / "memory.events").write_text(text)
    assert group.kills() == kills


def test_a_count_that_is_missing_is_an_error_and_not_zero(tmp_path: Path, own_groups: Path) -> None:
    folder = version_1(tmp_path)
    group = control_group(LIMIT, cgroups=tmp_path, own_groups=own_groups)
    assert group is not None
    (folder / "memory.stat").write_text("total_rss 5\n")
    with pytest.raises(KeyError):
        group.used()


def test_the_task_definition_states_the_limit() -> None:
    assert limit_of({"MEMORY_MIB": "2048"}) == LIMIT
    assert limit_of({}) is None
    with pytest.raises(ValueError, match="4 GB"):
        limit_of({"MEMORY_MIB": "4 GB"})
