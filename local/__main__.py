"""Runs the commands of the local stack."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from local.cli import reaper
from project import paths
from project.errors import CommandError

SUPPORTED = ((3, 11), (3, 12))
SWITCH_INTERVAL_S = 0.0005
# How each command opens the log: a command for a stack that runs already must not empty it.
LOG_MODES = {
    **dict.fromkeys(("demo", "faults", "prewarm", "up"), "w"),
    **dict.fromkeys(("airflow", "shell", "deploy", "down", "decisions", "check"), "a"),
}
INTERRUPTED = 130  # 128 + SIGINT, as a shell counts


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP: take everything down, once."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # A second Ctrl-C must not stop the clean-up that the first one began.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def main() -> int:
    """Run one command; every failure is one line and a non-zero exit."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=tuple(LOG_MODES))
    parser.add_argument("arguments", nargs="*", help="airflow: what follows it")
    parser.add_argument("--dags", type=Path, metavar="FOLDER", help="up: DAG files to read live, for the image's")
    parser.add_argument("--keep", action="store_true", help="up: keep connections and variables until the next start")
    parser.add_argument("--env", default="", help="check: the environment of samconfig.toml")
    parser.add_argument("--version", default="", help="deploy: the image's version, which becomes its tag")
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="faults: only these")
    parser.add_argument("--autoscaler-away", type=float, metavar="S", help="faults: seconds without the autoscaler")
    parser.add_argument("--long-task", type=float, metavar="S", help="faults: seconds of the task that outlasts one")
    parser.add_argument("--flood", type=int, metavar="N", help="faults: tasks that flood a pool in starvation")
    arguments = parser.parse_args()
    if sys.version_info[:2] not in SUPPORTED:
        print("local: Python {}.{} is not supported; use 3.11 or 3.12".format(*sys.version_info[:2]), file=sys.stderr)
        return 2
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _interrupt)
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=paths.STATE / "local.log",
        filemode=LOG_MODES[arguments.command],
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("local").setLevel(logging.INFO)
    # The relays share this process: with the default of 5 ms every thread that computes delays Airflow's queries.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    reaper.adopt_orphans()
    code, said = INTERRUPTED, "interrupted; everything it started has been stopped"
    try:
        code, said = _run(arguments), ""
    except CommandError as error:
        code, said = 1, str(error)
    except Interrupted:
        if arguments.command == "up":
            code = 0  # a signal is its regular end; with another code make would print an error
    finally:
        reaper.end_descendants()
    if said:
        print(f"local: {said}", file=sys.stderr)
    return code


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that the checks above do not wait for half a second of imports.
    import httpx
    import redis
    from botocore.exceptions import BotoCoreError, ClientError

    from local.cli import commands

    if arguments.command == "airflow":
        commands.airflow(arguments.arguments)
    known = {
        "demo": commands.demo,
        "prewarm": commands.prewarm,
        "shell": commands.shell,
        "down": commands.down,
        "decisions": commands.decisions,
    }
    try:
        if arguments.command == "up":
            return commands.up(arguments.dags, keeps=arguments.keep)
        if arguments.command == "check":
            return commands.check(arguments.env)
        if arguments.command == "deploy":
            return commands.deploy(arguments.version)
        if arguments.command == "faults":
            return commands.faults(
                arguments.only,
                autoscaler_away_s=arguments.autoscaler_away,
                long_task_s=arguments.long_task,
                flood_tasks=arguments.flood,
            )
        return known[arguments.command]()
    except (BotoCoreError, ClientError, redis.RedisError, httpx.HTTPError) as error:
        logging.getLogger("local").exception("a part of the stack did not answer")
        what = " ".join(str(error).split())
        raise CommandError(f"a part of the stack did not answer: {what}; see {paths.STATE / 'local.log'}") from error


if __name__ == "__main__":
    # PYTHONDONTWRITEBYTECODE would cost every Airflow process 3-5 s at start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.exit(main())
