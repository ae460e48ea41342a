"""Measures the hash of 2,000 DAG files and the comparison of 1,000 members; exits with 1 above a limit.

python -m bench.micro.versions [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

from agent.versions import CHECKING_SHARE, CodeHash
from bench.micro.processor import cpu_s
from fleet.member import CONSUMING, RUNNING, WEBSERVER, WORKER, Code, Member, member_id
from fleet.registry import Roster
from version_check.compare import Container, Observation, Tasks, compare
from version_check.verdict import Reference, Verdict

FILES, FILE_BYTES = 2000, 4000
MEMBERS = 1000
MOST_HASH_S, MOST_COMPARE_S = 1.0, 1.0
MOST_COMPARE_MIB = 128
REPORT_EVERY_S = 5.0
MIB = 1024 * 1024
NOW = 1_000_000.0
NEW = Code(image_version="2.0", dags_hash="b" * 64, airflow_version="3.3.2")
OLD = Code(image_version="1.0", dags_hash="a" * 64, airflow_version="3.3.2")


def measure_hash() -> dict[str, float]:
    """Return the seconds for files that were never read and for unchanged files, and the share of a core."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FILES):
            path = Path(folder, f"team{number % 40}", f"dag{number}.py")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(number.to_bytes(4, "big") * (FILE_BYTES // 4))
        folders = {"dags": Path(folder)}
        first = cpu_s(lambda: CodeHash(folders).read())
        known = CodeHash(folders)
        known.read()
        again = cpu_s(known.read)
    return {"hash_s": first, "check_s": again, "share_of_a_core": again / max(REPORT_EVERY_S, again / CHECKING_SHARE)}


def measure_compare() -> dict[str, float]:
    """Return the seconds and MiB to parse and compare all members, each of which differs."""
    seconds = cpu_s(lambda: compare_all(MEMBERS))
    tracemalloc.start()
    compare_all(MEMBERS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"compare_s": seconds, "compare_mib": peak / MIB}


def compare_all(members: int) -> Verdict:
    """Parse and compare a webserver and `members` workers with older code, and write the verdict as JSON."""
    records = [_record(member_id(f"{number:032x}", WORKER), WORKER, OLD) for number in range(members)]
    records.append(_record(member_id("web", WEBSERVER), WEBSERVER, NEW))
    parsed = tuple(Member.from_json(record, last_seen=NOW) for record in records)
    containers = tuple(
        Container(member=each.id, role=each.role, image="airflow:2.0", digest="sha256:" + "0" * 64, started_at=NOW - 60)
        for each in parsed
    )
    tasks = Tasks(containers=containers, known=frozenset(each.id.partition("/")[0] for each in parsed))
    roster = Roster(members=parsed, malformed=(), read_at=NOW)
    answer = Reference(member=member_id("web", WEBSERVER), code=NEW)
    verdict = compare(Observation(now=NOW, tasks=tasks, roster=roster, answer=answer))
    json.dumps(verdict.to_record())
    return verdict


def _record(name: str, role: str, code: Code) -> str:
    return Member(
        id=name,
        role=role,
        pool=None,
        image_version=code.image_version,
        dags_hash=code.dags_hash,
        airflow_version=code.airflow_version,
        state=CONSUMING if role == WORKER else RUNNING,
        slots=16,
        active=16,
        protected=True,
        started_at=NOW - 60,
        task_arn=f"arn:aws:ecs:eu-central-1:123456789012:task/cluster/{name}",
        container=role,
        queues=("default",),
    ).to_json()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.micro.versions", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    found = {**measure_hash(), **measure_compare()}
    limits = {"hash_s": MOST_HASH_S, "compare_s": MOST_COMPARE_S, "compare_mib": MOST_COMPARE_MIB}
    limits["share_of_a_core"] = 0.01
    if options.json:
        print(json.dumps(found))
    else:
        print(f"hash of {FILES} DAG files             {found['hash_s']:.3f} s")
        print(f"  again, unchanged                 {found['check_s']:.3f} s ({found['share_of_a_core']:.2%} of a core)")
        print(f"comparison of {MEMBERS} members         {found['compare_s']:.3f} s, {found['compare_mib']:.1f} MiB")
    return int(any(found[name] > most for name, most in limits.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
