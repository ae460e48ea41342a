"""Deliver DAGs without an image: upload a folder or a commit of git, go back to a version, or list versions.

Exit 0 done, 1 refused, 2 delivered, but not seen in the DAG processor within --wait.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from fleet.dag_versions import names
from fleet.dag_versions.delivery import Delivered, Delivery
from fleet.dag_versions.memory import Memory
from fleet.dag_versions.pointer import Pointer
from fleet.dag_versions.writing import Refused
from ops.dag_tests.__main__ import main as test_dags
from ops.dags.folder import read_folder
from ops.dags.git import GitTrouble, Publisher, Repository, credentials_in, parse_source
from ops.deployed import DeployedStack, FunctionFailed, find_stack
from ops.versions.__main__ import wait_for_bundle
from ops.versions.check import ask_version_check
from project import paths
from project.errors import CommandError
from version_check.words import short, utc

OUTPUT, PARAMETER = "DagBucketName", "DagBundles"
LISTED = KEPT = 20
UNSEEN = 2
SHORTEST_FOLLOW_S = 5.0
MAY_PASS = (Refused, FunctionFailed, BotoCoreError, ClientError)  # another upload came first, AWS does not answer


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.dags", description=__doc__)
    parser.add_argument("--env", required=True, help="environment of samconfig.toml")
    parser.add_argument("--dags", type=Path, help="folder to upload")
    parser.add_argument("--bundle", help="the bundle's name; by default the environment's only one")
    parser.add_argument("--version", help="version to go back to, or how its name begins")
    parser.add_argument("--keep", type=int, default=KEPT, help="versions that an upload leaves; default: %(default)s")
    parser.add_argument("--wait", type=float, default=0.0, help="longest wait until the DAG processor has the version")
    parser.add_argument("--git", help="upload from git instead: https://HOST/PATH[#BRANCH-OR-TAG[:FOLDER]]")
    parser.add_argument("--follow", type=float, help="go on, and upload each new commit; seconds between two questions")
    options = parser.parse_args(arguments)
    try:
        if sum(each is not None for each in (options.dags, options.git, options.version)) > 1:
            raise CommandError("DAGS and GIT upload, VERSION goes back: give one of them")
        if options.follow is not None and (options.git is None or options.follow < SHORTEST_FOLLOW_S):
            raise CommandError(f"FOLLOW needs GIT, and at least {SHORTEST_FOLLOW_S:g} seconds between two questions")
        source = None if options.git is None else parse_source(options.git)
        if options.dags is not None:
            read_folder(options.dags)  # what is wrong with it is said before anything is asked
        stack = find_stack(options.env)
        bundle = choose_bundle(stack.parameter(PARAMETER), options.bundle, environment=options.env)
        command = _Command(stack, bundle, keep=options.keep, wait_s=options.wait)
        if options.dags is not None:
            return command.upload(options.dags)
        if options.version is not None:
            return command.go_back(options.version)
        if source is None:
            print("\n".join(listing(command.delivery.pointer(), bundle)))
            return 0
        repository = Repository(source, credentials_in(os.environ))
        if options.follow is not None:
            return _follow(repository, command, every_s=options.follow)
        with tempfile.TemporaryDirectory(prefix="dags-") as name:
            commit = repository.export(Path(name))
            return command.upload(Path(name), commit=commit)
    except (*MAY_PASS, CommandError, GitTrouble) as error:
        print(f"make dags: {error}", file=sys.stderr)
        return 1


class _Command:
    """What the command does with one bundle. Each method returns the exit code. Raises CommandError and MAY_PASS."""

    def __init__(self, stack: DeployedStack, bundle: str, *, keep: int, wait_s: float) -> None:
        self.delivery = _delivery(stack, bundle)
        self._stack, self._bundle, self._keep, self._wait_s = stack, bundle, keep, wait_s

    def upload(self, place: Path, *, commit: str = "") -> int:
        """Make the folder the current version, if its DAGs pass their tests. `commit`: of git, that it is of."""
        # Only what was read before is uploaded, so what is tested is what is delivered.
        read = read_folder(place)
        folder = replace(read, manifest=replace(read.manifest, commit=commit))
        if test_dags([str(place)]):
            raise CommandError("nothing was uploaded: the DAGs fail the tests above")
        began = time.monotonic()
        done = self.delivery.upload(folder)
        exit_code = self._say(done, began=began, files=len(folder.manifest.files))
        if not exit_code and done.is_new and are_many(done.versions, keep=self._keep):
            remove_old(self.delivery, self._stack, self._bundle, keep=self._keep)
        return exit_code

    def go_back(self, beginning: str) -> int:
        began = time.monotonic()
        return self._say(self.delivery.go_back(beginning), began=began, files=None)

    def _say(self, done: Delivered, *, began: float, files: int | None) -> int:
        print(_in_words(done, self._bundle, files=files, seconds=time.monotonic() - began), flush=True)
        if self._wait_s and wait_for_bundle(self._stack, self._bundle, done.version, seconds=self._wait_s):
            return UNSEEN
        return 0


def _follow(repository: Repository, command: _Command, *, every_s: float) -> int:
    """Upload each new commit until SIGINT or SIGTERM; nothing that was uploaded is half then."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())

    def deliver(folder: Path, commit: str) -> None:
        command.upload(folder, commit=commit)

    def say(line: str) -> None:
        print(f"make dags: {line}", file=sys.stderr, flush=True)

    publisher = Publisher(repository, deliver, say)
    while not stopping.is_set():
        publisher.poll(passing=MAY_PASS)
        stopping.wait(every_s)
    return 0


def choose_bundle(parameter: str, asked: str | None, *, environment: str) -> str:
    """Return the bundle to deliver to. Raises CommandError unless the environment reads it from its bucket."""
    try:
        there = [name for name in names.parse_names(parameter) if name != names.IMAGE]
    except names.BadNames as error:
        raise CommandError(f"{PARAMETER} of {environment}: {error}") from None
    if asked is not None and asked in there:
        return asked
    if asked is None and len(there) == 1:
        return there[0]
    if not there:
        raise CommandError(
            f"{environment} reads DAGs from its image only: add a bundle to its parameter {PARAMETER}, such as "
            "image,dags, and deploy"
        )
    what = "which bundle" if asked is None else f"{environment} has no bundle {asked}"
    raise CommandError(f"{what}: use BUNDLE={' or BUNDLE='.join(there)}")


def listing(pointer: Pointer, bundle: str) -> Iterator[str]:
    """Yield a line a version, the newest first."""
    if pointer.current is None:
        yield f"{bundle}: nothing was uploaded yet"
    for number, each in enumerate(pointer.entries[:LISTED]):
        yield f"{'*' if number == 0 else ' '} {short(each.version)}  {utc(each.at)}  {each.files} files"


def are_many(versions: int, *, keep: int) -> bool:
    """Return whether so many versions are removed down to `keep`.

    From half as many again on: a removal makes dozens of requests, and meanwhile no one can upload.
    """
    return versions > keep + keep // 2


def remove_old(delivery: Delivery, stack: DeployedStack, bundle: str, *, keep: int) -> None:
    """Remove old versions, but none that an unfinished run uses.

    Which ones these are the scheduler knows. Without its word nothing is removed.
    """
    bundles = ask_version_check(stack).get("bundles")
    if bundles is None:
        print(f"{bundle}: old versions stay: the scheduler has not reported lately which ones runs still use")
        return
    # Of all bundles, because a DAG may have moved to another one. New runs take the version that the DAG processor has.
    in_use = {version for one in bundles for version in (one["version"], *(each["version"] for each in one["in_use"]))}
    removed = delivery.clean(keep, in_use)
    print(f"{bundle}: {removed} old version{'' if removed == 1 else 's'} removed")


def _delivery(stack: DeployedStack, bundle: str) -> Delivery:
    bucket = stack.output(OUTPUT)
    memory = Memory(paths.STATE / "delivered" / f"{bucket}-{bundle}.json")
    return Delivery(stack.client("s3"), bucket, bundle, memory=memory)


def _in_words(done: Delivered, bundle: str, *, files: int | None, seconds: float) -> str:
    version = short(done.version)
    if not done.is_new:
        return f"{bundle}: version {version} is current already; nothing was changed"
    how = "it was uploaded before" if files is None else f"{done.uploaded} of its {files} files were uploaded"
    return f"{bundle}: version {version} is current now; {how}, in {seconds:.1f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
