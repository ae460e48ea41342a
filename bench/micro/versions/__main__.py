"""Measures the hash of 2,000 DAG files, and a comparison of 1,000 members; exit 1 when one is beyond its limit.

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

from agent.versions import LOOKING_SHARE, CodeHash
from bench.micro.processor import cpu_s
from bench.micro.versions.fleet import compare_all

FILES, FILE_BYTES = 2000, 4000
MEMBERS = 1000
MOST_HASH_S, MOST_COMPARE_S = 1.0, 1.0
MOST_COMPARE_MIB = 128
REPORT_EVERY_S = 5.0
MIB = 1024 * 1024


def measure_hash() -> dict[str, float]:
    """Seconds for files that were never read, and for files that did not change since."""
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
    return {"hash_s": first, "look_s": again, "share_of_a_core": again / max(REPORT_EVERY_S, again / LOOKING_SHARE)}


def measure_compare() -> dict[str, float]:
    """Seconds and MiB to parse and compare all members, each of which differs."""
    seconds = cpu_s(lambda: compare_all(MEMBERS))
    tracemalloc.start()
    compare_all(MEMBERS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"compare_s": seconds, "compare_mib": peak / MIB}


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
        print(f"  again, nothing changed           {found['look_s']:.3f} s ({found['share_of_a_core']:.2%} of a core)")
        print(f"comparison of {MEMBERS} members         {found['compare_s']:.3f} s, {found['compare_mib']:.1f} MiB")
    return int(any(found[name] > most for name, most in limits.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
