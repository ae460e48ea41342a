"""How the containers of the service `airflow` share their task's memory: none can take all of it."""

from troposphere import FindInMap, Ref, Template

from stack.lib.parameters import add_mapping
from stack.lib.sizes import MEMORY_MIB

MAPPING = "AirflowMemoryMib"
# Percent. At rest each needs some 250 MiB; the DAG processor parses in two processes more, the webserver serves.
# Measured of the forecaster: 180 MiB with the timetables of 255 DAGs.
SHARES = {
    "gate": 4,
    "migrate": 12,
    "webserver": 23,
    "scheduler": 20,
    "dag-processor": 18,
    "triggerer": 13,
    "forecaster": 10,
}


def add_memory_shares(t: Template, *, memory_mib: Ref) -> dict[str, FindInMap]:
    """MiB by container: CloudFormation cannot multiply, so that every size is written out."""
    assert sum(SHARES.values()) == 100
    add_mapping(
        t,
        MAPPING,
        {mib: {_key(role): int(mib) * share // 100 for role, share in SHARES.items()} for mib in MEMORY_MIB},
    )
    return {role: FindInMap(MAPPING, memory_mib, _key(role)) for role in SHARES}


def _key(role: str) -> str:
    """A mapping's keys are letters and digits only."""
    return "".join(part.capitalize() for part in role.split("-"))
