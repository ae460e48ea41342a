"""Works through names in parallel, each as soon as those that it needs are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

WORKERS = 16


def walk(
    needs: Mapping[str, Iterable[str]], work: Callable[[str], None], *, goes_on: Callable[[], bool] = lambda: True
) -> dict[str, Exception]:
    """Call `work` for each name; return what it raised, by name. Names that need one that failed are left out.

    Nothing new begins once `goes_on` says no. Needs that are no names themselves are ignored.
    """
    sorter = TopologicalSorter({name: [need for need in wanted if need in needs] for name, wanted in needs.items()})
    sorter.prepare()
    failures: dict[str, Exception] = {}
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="resource") as pool:
        while True:
            if goes_on():
                running.update({pool.submit(work, name): name for name in sorter.get_ready()})
            if not running:
                return failures
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, error = running.pop(future), future.exception()
                if error is None:
                    sorter.done(name)
                elif isinstance(error, Exception):
                    failures[name] = error
                else:
                    raise error


def reversed_needs(needs: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Return the needs of a deletion: each name waits for all that need it."""
    waiting: dict[str, set[str]] = {name: set() for name in needs}
    for name, wanted in needs.items():
        for need in wanted:
            if need in waiting:
                waiting[need].add(name)
    return waiting
