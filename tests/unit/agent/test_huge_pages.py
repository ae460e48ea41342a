"""Which memory of a process can be joined into huge pages, and that it is."""

import json
import os
import subprocess
import sys

import pytest

from agent.runner.huge_pages import own
from project import paths

MAPS = """\
55a4e3c3f000-55a4e5d80000 rw-p 00000000 00:00 0                          [heap]
7ff124ab5000-7ff124eb6000 rw-p 00000000 00:00 0
7ff124f04000-7ff124f05000 r--p 00000000 00:00 0
7ff125a58000-7ff126358000 rw-p 00021000 08:01 1234                       /usr/lib/a library.so
7ff126400000-7ff126401000 rw-s 00000000 00:01 5678                       /dev/zero (deleted)
7ffd9a5c1000-7ffd9a5e2000 rw-p 00000000 00:00 0                          [stack]
"""
JOIN = """
import json, os
from pathlib import Path
from agent.runner import huge_pages

def huge_kib():
    return int(Path("/proc/self/smaps_rollup").read_text().split("AnonHugePages:")[1].split()[0])

data = [str(number) for number in range(400_000)]
before, joined, after = huge_kib(), huge_pages.join(), huge_kib()
pid = os.fork()
if not pid:
    os._exit(0 if data == [str(number) for number in range(400_000)] else 1)
print(json.dumps([before, joined // 1024, after, os.waitpid(pid, 0)[1]]))
"""


def test_the_heap_and_memory_without_a_name_are_joined() -> None:
    assert own(MAPS) == [(0x55A4E3C3F000, 0x55A4E5D80000), (0x7FF124AB5000, 0x7FF124EB6000)]


def test_memory_is_joined_and_keeps_its_content() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": paths.IMAGE_PYTHONPATH}
    said = subprocess.run([sys.executable, "-c", JOIN], env=environment, capture_output=True, text=True, check=True)
    before, joined, after, status = json.loads(said.stdout)
    assert status == 0
    if not joined:
        pytest.skip("this kernel joins no pages")
    assert after - before > joined // 2
