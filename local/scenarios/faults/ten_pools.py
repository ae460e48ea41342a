"""A stack with ten pools of one to eight slots, and with DAGs that load one pool each."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local.stack.up import DEFAULT_POOL, Stack, up
from local.ui.display import Display
from project import paths
from stack.render import render
from stack.sections.pools import DEFAULT_QUEUE, DeclaredPool
from template_gen import build

DAGS = Path(__file__).parent / "dags"
PARSE_TIMEOUT_S = 120.0
# A worker of eight slots, without swapping.
CPU, MEMORY_MIB = "256", "2048"
# Tasks that wait for the pool's own slots make its waits long enough to compare: some 20 s, not the scheduler's jitter.
LOAD_S, SLOTS_FULL, LEAST_TASKS = 10.0, 3, 4
# The time of a slot of the flooded pool that a task of the flood takes, without what Airflow adds.
FLOOD_TASK_S, FLOOD_TASKS_A_RUN = 2.5, 250


def _pool(name: str, *, slots: int, queues: Sequence[str] = (), minimum: int = 1) -> DeclaredPool:
    """Return a pool of at most one worker, whose queues are its name if none are given."""
    return DeclaredPool(
        name=name,
        queues=tuple(queues) or (name,),
        min=minimum,
        max=1,
        concurrency=slots,
        cpu=CPU,
        memory_mib=MEMORY_MIB,
    )


DEFAULT = _pool(DEFAULT_POOL, slots=4, queues=(DEFAULT_QUEUE,))
FLOODED = _pool("flooded", slots=8)
# A DAG of its users misspells its first queue; another one was parsed when its second queue had another name.
MISSPELT = _pool("misspelt", slots=2, queues=("misspelt", "moved"))
PAUSED = _pool("paused", slots=3, minimum=0)
FROM_ZERO = _pool("zero", slots=5, minimum=0)
POOLS = (
    DEFAULT,
    FLOODED,
    MISSPELT,
    PAUSED,
    FROM_ZERO,
    *(_pool(name, slots=slots) for name, slots in (("one", 1), ("two", 2), ("three", 3), ("six", 6), ("seven", 7))),
)
# The environment's parameters have the default pool of the committed template.
OVERRIDES = {
    f"{DEFAULT.title}{name}": str(value)
    for name, value in (("Min", DEFAULT.min), ("Max", DEFAULT.max), ("Concurrency", DEFAULT.concurrency))
}
# Those whose waits are measured.
MEASURED = tuple(pool for pool in POOLS if pool not in (FLOODED, PAUSED))


@dataclass(frozen=True, kw_only=True)
class Load:
    """A DAG of `tasks` tasks that each sleep for `seconds` in one queue, in the form that dags/loads.py reads.

    `priority`: Airflow's priority_weight.
    """

    name: str
    queue: str
    tasks: int
    seconds: float
    priority: int = 1


def load_of(pool: DeclaredPool) -> Load:
    """Return the load that fills a pool's slots SLOTS_FULL times, or is LEAST_TASKS tasks."""
    tasks = max(LEAST_TASKS, SLOTS_FULL * pool.concurrency)
    return Load(name=f"load-{pool.name}", queue=pool.queues[0], tasks=tasks, seconds=LOAD_S)


# With Airflow's default priority, the first tasks of a small run overtake the later ones of a large run.
FLOOD = Load(name="flood", queue=FLOODED.queues[0], tasks=FLOOD_TASKS_A_RUN, seconds=FLOOD_TASK_S, priority=10)
MISTAKE = Load(name="mistake", queue="mispelt", tasks=20, seconds=0.0)
OUTDATED = Load(name="outdated", queue=MISSPELT.queues[1], tasks=20, seconds=0.0)
LOADS = (*map(load_of, POOLS), FLOOD, OUTDATED)


@contextlib.contextmanager
def up_with_ten_pools(display: Display) -> Iterator[Stack]:
    """Bring a stack with POOLS up, with default time-outs and the DAGs of LOADS; MISTAKE is in a file of its own."""
    with tempfile.TemporaryDirectory(prefix="ten-pools-") as folder:
        source = Path(folder) / paths.IMAGE_SOURCE.name
        shutil.copytree(paths.IMAGE_SOURCE, source)
        write_dags(source / "dags")
        with up(
            display.step, warn=display.warn, source=source, template=render(build(POOLS)), overrides=OVERRIDES
        ) as stack:
            yield stack


def write_dags(folder: Path) -> None:
    """Write the DAGs' files into a folder."""
    for name, loads in (("loads", LOADS), ("mistake", (MISTAKE,))):
        shutil.copy(DAGS / "loads.py", folder / f"{name}.py")
        (folder / f"{name}.json").write_text(json.dumps([asdict(load) for load in loads]))
