"""Measures stock Airflow and the product in turn, on the same servers, in one run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.tasks.figures import Result, result
from bench.tasks.product import Product
from bench.tasks.servers import running_servers
from bench.tasks.sizes import Sizes
from bench.tasks.stock import Stock
from bench.tasks.system import System
from bench.tasks.turn import Measuring, Turn, dag_ids


def measure(sizes: Sizes, say: Callable[[str], None]) -> Result:
    """Measure everything: stock, product, stock, product. Raises CommandError."""
    with tempfile.TemporaryDirectory(prefix="tasks-") as name, running_servers(Path(name)) as servers:
        systems: list[System] = []
        try:
            for kind in (Stock, Product):
                variables, ids = sizes.environment, dag_ids(sizes.slots)
                systems.append(kind(servers, Path(name), dag_ids=ids, variables=variables))
            turns: dict[str, list[Turn]] = {system.name: [] for system in systems}
            for system in systems:
                say(f"{system.name}: tables of the database")
                system.migrate()
            for _ in range(sizes.turns):
                for system in systems:
                    turns[system.name].append(Measuring(system, sizes, say).go())
        finally:
            for system in systems:
                system.kill()
    return result(turns[Stock.name], turns[Product.name], sizes)
