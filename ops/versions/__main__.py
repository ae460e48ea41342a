"""Check whether every process of an environment runs the webserver's code: exit 0 in sync, 1 out of sync, 2 unknown.

With --version, check whether the DAG processor has that version of a DAG bundle: exit 0 yes, 1 no, 2 unknown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from botocore.exceptions import BotoCoreError, ClientError

from ops.deployed import DeployedStack, FunctionFailed, Record, ask_until, find_stack
from ops.versions.check import (
    UNKNOWN_CODE,
    ask_version_check,
    bundle_state,
    exit_code,
    is_in_sync,
    report_lines,
    summary,
)
from project.errors import CommandError


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.versions", description=__doc__)
    parser.add_argument("--env", required=True, help="environment of samconfig.toml")
    parser.add_argument(
        "--wait",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="longest wait until all are in sync; default: %(default)g",
    )
    parser.add_argument("--bundle", default="dags", help="the DAG bundle of --version; default: %(default)s")
    parser.add_argument("--version", help="version of a DAG bundle to wait for, or how its name begins")
    options = parser.parse_args(arguments)
    try:
        stack = find_stack(options.env)
        if options.version is not None:
            return wait_for_bundle(stack, options.bundle, options.version, seconds=options.wait)
        record = ask_until(lambda: ask_version_check(stack), is_done=is_in_sync, seconds=options.wait, progress=_say)
    except (CommandError, FunctionFailed, KeyError, BotoCoreError, ClientError) as error:
        print(f"unknown: {error}", file=sys.stderr)
        return UNKNOWN_CODE
    for each in report_lines(record):
        print(each)
    return exit_code(record)


def wait_for_bundle(stack: DeployedStack, bundle: str, version: str, *, seconds: float) -> int:
    """Wait until the DAG processor has the version; print what it has, and return the exit code.

    Raises what `ask_function` raises.
    """

    def state(record: Record) -> tuple[int, str]:
        return bundle_state(record, bundle, version)

    record = ask_until(
        lambda: ask_version_check(stack),
        is_done=lambda record: state(record)[0] == 0,
        seconds=seconds,
        progress=lambda record, passed: print(f"{passed:5.0f} s  {state(record)[1]}", file=sys.stderr, flush=True),
    )
    code, line = state(record)
    print(line)
    return code


def _say(record: Record, seconds: float) -> None:
    print(f"{seconds:5.0f} s  {summary(record)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
