"""A program for the image's environment: the process that sends events, driven line by line.

Each line on stdin is a JSON object, answered by one on stdout:
{"indexes": is_wanted}: makes or drops the indexes, as `migrate` does
{"later_s": seconds}: lets so many more have passed by the process's clock
{"tick": true}: {"pause_s", "is_sender", "sent", "refused", "remembered", "wall_s", "memory_mib"} of one tick
"""

import json
import logging
import os
import resource
import sys
import time

import boto3

from agent import variables
from agent.broker import registry_of
from agent.events import indexes
from agent.events.position import Position
from agent.events.process import CLIENT, STATEMENT_TIMEOUT_MS, Process, Settings
from agent.read_only import read_only

logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
engine = read_only(os.environ[variables.DATABASE_URL], statement_timeout_ms=STATEMENT_TIMEOUT_MS, name="events")
passed_s = 0.0
process = Process(
    Settings.from_environment(os.environ),
    engine=engine,
    position=Position(registry_of(os.environ)),
    client=boto3.client("events", config=CLIENT),
    clock=lambda: time.monotonic() + passed_s,
)


def wait(seconds: float) -> float:
    global passed_s
    passed_s += seconds
    return passed_s


def make(*, is_wanted: bool) -> int:
    if not is_wanted:
        os.environ.pop(variables.EVENT_BUS)
    return indexes.main()


def tick() -> dict[str, float]:
    began = time.monotonic()
    pause_s = process.tick()
    wall_s = time.monotonic() - began
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    given = {"pause_s": pause_s, "is_sender": process.is_sender, "wall_s": wall_s, "memory_mib": memory_mib}
    return {**given, **process.counts()}


answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    (verb, value) = json.loads(line).popitem()
    answer = make(is_wanted=value) if verb == "indexes" else wait(value) if verb == "later_s" else tick()
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
