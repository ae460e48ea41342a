"""Build releases, bring them to environments, roll them back, and show where they run."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ops.delivery import role
from ops.delivery.build import PUSHES, build_once
from ops.delivery.delivery import Delivery
from ops.delivery.gate import GATE_TIMEOUT_S, refuse_if_asleep
from ops.delivery.ledger import PROMOTION, ROLLBACK
from ops.delivery.plan import ENVIRONMENTS, Plan, plan_promotion, plan_rollback, predecessor
from ops.delivery.release import DeliveryError, Refused
from ops.delivery.stack import Stack, deploy_settings
from ops.delivery.store import Store
from ops.deployed import Record, find_stack
from ops.versions.check import ask_version_check
from project import environments, paths
from project.errors import CommandError


def client(service: str, environment: str) -> Any:
    """Return boto3's client in the environment's region. Raises CommandError for an unknown environment."""
    api: Any = boto3  # boto3 is not typed
    return api.client(service, region_name=environments.load(environment).region)


def make_store(bucket: str, environment: str) -> Store:
    """Return the store in the pipeline's bucket, which is in the environment's region."""
    return Store(client("s3", environment), bucket)


def make_stack(environment: str, *, bucket: str, role: str) -> Stack:
    """Return the environment's stack, whether it exists or not."""
    given = environments.load(environment)
    return Stack(
        environment=environment,
        name=given.stack_name,
        region=given.region,
        cloudformation=client("cloudformation", environment),
        bucket=bucket,
        role=role,
        root=paths.ROOT,
    )


def make_version_check(environment: str) -> Callable[[], Record]:
    """Return a function that asks the environment's version check once."""
    return lambda: ask_version_check(find_stack(environment))


def make_delivery(stack: Stack, store: Store, *, gate_s: float, say: Callable[[str], None]) -> Delivery:
    """Return a delivery to this stack."""
    return Delivery(
        store=store,
        stack=stack,
        rds=client("rds", stack.environment),
        ask=make_version_check(stack.environment),
        clock=time.time,
        say=say,
        gate_s=gate_s,
    )


UNCHANGED, ENDED_BADLY = 1, 2
UNPROTECTED = "created without deletion protection: promote again if parameters/{}.yaml asks for it"


def main(arguments: Sequence[str]) -> int:
    """Run the command. Return exit code 0 when done, 1 when nothing was changed, 2 when a begun change failed."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (Refused, CommandError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return UNCHANGED
    except (DeliveryError, BotoCoreError, ClientError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return ENDED_BADLY
    return 0


def _release(options: argparse.Namespace) -> None:
    store = make_store(options.bucket, ENVIRONMENTS[0])
    release = build_once(options.version, repository=options.repository, store=store, builder=options.builder)
    print(f"release {release.version}: {release.image}, database revision {release.revision}")


def _deploy(options: argparse.Namespace) -> None:
    store = make_store(options.bucket, options.env)
    stack = make_stack(options.env, bucket=options.bucket, role=options.cloudformation_role)
    exists = stack.exists()
    plan = _decide(options, exists=exists)
    if exists:
        refuse_if_asleep(options.env, ask=make_version_check(options.env), say=_say)
    image = plan.release.image
    proposal = (
        stack.read(options.change_set, image=image) if options.change_set else stack.propose(image, is_first=not exists)
    )
    print("\n".join([*plan.lines(), *proposal.lines()]), flush=True)
    if options.output:
        with options.output.open("a") as file:
            file.write(f"change_set={proposal.arn}\nversion={plan.release.version}\n")
    if options.plan_only:
        return
    if not options.change_set and not options.yes and input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Refused("not confirmed: nothing was deployed")
    make_delivery(stack, store, gate_s=options.wait, say=_say).carry_out(plan, proposal)
    if not exists:
        _say(UNPROTECTED.format(options.env))


def _decide(options: argparse.Namespace, *, exists: bool) -> Plan:
    before, store = predecessor(options.env), make_store(options.bucket, options.env)
    ledger, now = store.ledger(options.env), time.time()
    if options.kind == ROLLBACK:
        return plan_rollback(options.version, ledger=ledger, exists=exists, now=now)
    earlier = store.ledger(before) if before else None
    return plan_promotion(store.release(options.version), ledger=ledger, before=earlier, exists=exists, now=now)


def _settle(options: argparse.Namespace) -> None:
    predecessor(options.env)  # refuses an environment outside the pipeline
    store = make_store(options.bucket, options.env)
    store.keep(store.ledger(options.env).settle(revision=options.revision, at=time.time()))


def _status(options: argparse.Namespace) -> None:
    for environment in ENVIRONMENTS:
        ledger = make_store(options.bucket, environment).ledger(environment)
        print("\n".join(ledger.lines()))


def _role(options: argparse.Namespace) -> None:
    predecessor(options.env)
    pipeline = role.Pipeline(
        environment=options.env,
        stack_name=environments.load(options.env).stack_name,
        repository=options.repository,
        bucket=options.bucket,
        prefix=deploy_settings(paths.ROOT, options.env)["s3_prefix"],
        cloudformation_role=options.cloudformation_role,
    )
    planner = role.grant(client("iam", options.env), options.role, pipeline)
    print(f"PIPELINE_ROLE of the GitHub environment {options.env}: {options.role}")
    print(f"PLAN_ROLE of the GitHub environment {options.env}-plan: {planner}")


def _ledger(options: argparse.Namespace) -> None:
    predecessor(options.env)
    role.protect_ledger(
        client("s3", options.env),
        options.env,
        bucket=options.bucket,
        role_arn=options.role,
        operators=options.operators,
    )
    print(f"only {', '.join([options.role, *options.operators])} may write the ledger of {options.env}")


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops.delivery", description=__doc__)
    commands = parser.add_subparsers(required=True)
    bucket = argparse.ArgumentParser(add_help=False)
    kept = os.environ.get("DELIVERY_BUCKET")
    bucket.add_argument(
        "--bucket", default=kept, required=not kept, help="the pipeline's bucket; default: $DELIVERY_BUCKET"
    )

    release = commands.add_parser("release", parents=[bucket], help="build and push the image of a version once")
    release.add_argument("--version", required=True)
    release.add_argument("--repository", required=True, metavar="REGISTRY/NAME")
    release.add_argument("--builder", choices=list(PUSHES), help="default: the first that works here")
    release.set_defaults(run=_release)

    for name, kind, text in (
        ("promote", PROMOTION, "bring a release to an environment"),
        ("rollback", ROLLBACK, "return to a version that ran well there, by default the previous one"),
    ):
        deploy = commands.add_parser(name, parents=[bucket], help=text)
        deploy.add_argument("--env", required=True, help="environment of samconfig.toml")
        deploy.add_argument("--version", required=kind == PROMOTION, help="version of a release")
        deploy.add_argument(
            "--cloudformation-role",
            default=os.environ.get("CLOUDFORMATION_ROLE", ""),
            metavar="ARN",
            help="role that CloudFormation takes; default: $CLOUDFORMATION_ROLE, else the caller's",
        )
        deploy.add_argument("--plan-only", action="store_true", help="show the change set without executing it")
        deploy.add_argument("--output", type=Path, help="file to append change_set=... and version=... to")
        deploy.add_argument(
            "--change-set", default="", metavar="ARN", help="a change set that was shown before, or 'none'"
        )
        deploy.add_argument("--yes", action="store_true", help="deploy without asking")
        deploy.add_argument(
            "--wait", type=float, default=GATE_TIMEOUT_S, metavar="SECONDS", help="longest wait for the version check"
        )
        deploy.set_defaults(run=_deploy, kind=kind)

    settle = commands.add_parser("settle", parents=[bucket], help="record the revision of an environment's database")
    settle.add_argument("--env", required=True)
    settle.add_argument("--revision", required=True)
    settle.set_defaults(run=_settle)

    commands.add_parser("status", parents=[bucket], help="show each environment's deployments").set_defaults(
        run=_status
    )

    grant = commands.add_parser(
        "role",
        parents=[bucket],
        help="let a role of sam pipeline bootstrap deliver to an environment, and make its planner",
    )
    grant.add_argument("--cloudformation-role", required=True, metavar="ARN", help="which the bootstrap made, too")
    grant.add_argument("--env", required=True)
    grant.add_argument("--role", required=True, metavar="ARN")
    grant.add_argument("--repository", required=True, metavar="OWNER/NAME")
    grant.set_defaults(run=_role)

    ledger = commands.add_parser("ledger", parents=[bucket], help="let only its own role write an environment's ledger")
    ledger.add_argument("--env", required=True)
    ledger.add_argument("--role", required=True, metavar="ARN")
    ledger.add_argument("--operators", nargs="+", default=[], metavar="ARN", help="roles and users who may settle")
    ledger.set_defaults(run=_ledger)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
