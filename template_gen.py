"""Generate template.yaml, the whole stack, docs/reference.md and Grafana's dashboard from the sections in stack/.

python template_gen.py            write the files
python template_gen.py --check    exit 1 if a committed file is stale or missing
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cfn.quotas import longest_place, over_quota
from fleet import access
from stack.grafana import render_grafana
from stack.reference import DoesNotFit, RecordedTemplate, render_reference
from stack.render import render
from stack.sections.airflow import add_airflow
from stack.sections.alarms import add_alarms
from stack.sections.backups import add_backups
from stack.sections.balancer import add_balancer
from stack.sections.broker import add_broker
from stack.sections.cleaning import add_cleaning
from stack.sections.cluster import add_cluster
from stack.sections.dags import add_dags
from stack.sections.dashboard import add_dashboard
from stack.sections.database import add_database
from stack.sections.encryption_key import add_encryption_key
from stack.sections.events import add_events, let_send
from stack.sections.flower import add_flower, add_flower_choice
from stack.sections.foundation import Foundation
from stack.sections.functions import add_functions
from stack.sections.log_queries import add_log_queries
from stack.sections.logs import add_access_logs, add_flow_logs, add_logs
from stack.sections.machines import add_machines
from stack.sections.network import add_network
from stack.sections.notifications import add_notifications, let_notify
from stack.sections.pools import DEFAULT_QUEUE, DeclaredPool, add_pools
from stack.sections.secrets import add_secrets
from stack.sections.settings import add_settings
from stack.sections.telemetry import add_telemetry
from stack.sections.topic import add_topic
from stack.sections.work_alarms import add_environment_alarm, add_work_alarms
from stack.sections.work_limits import add_work_limits
from stack.sections.workers import add_workers
from stack.sections.xcoms import add_xcoms, limit_xcoms

ROOT = Path(__file__).parent
TEMPLATE_PATH = ROOT / "template.yaml"
REFERENCE_PATH = ROOT / "docs" / "reference.md"
GRAFANA_PATH = ROOT / "docs" / "grafana-dashboard.json"

# To add a pool, add an entry: its service, parameters, scaling and version check follow from it.
POOLS = (DeclaredPool(name="worker", queues=("default",)),)


def build(declared: Sequence[DeclaredPool] = POOLS) -> RecordedTemplate:
    """Build the template from the sections, in the order in which they depend on each other.

    Raises DoesNotFit for pools with which AWS would refuse it, and ValueError for pools that contradict each other.
    """
    t = RecordedTemplate()
    t.set_version()
    t.set_transform("AWS::Serverless-2016-10-31")
    t.set_description("Apache Airflow on ECS Fargate, with workers that follow the backlog.")
    settings = add_settings(t, key_arn=add_encryption_key(t))
    backups = add_backups(t)
    access_logs = add_access_logs(t)
    has_flower = add_flower_choice(t)
    base = Foundation(
        settings=settings,
        topic=add_topic(t, key_arn=settings.key_arn),
        network=(network := add_network(t)),
        database=add_database(t, network=network, settings=settings, backups=backups),
        broker=add_broker(
            t,
            network=network,
            settings=settings,
            backups=backups,
            pools=declared,
            optional_users={
                access.FLOWER: has_flower,
                access.EVENTS: (events := add_events(t, network=network)).has_bus,
            },
        ),
        logs=(logs := add_logs(t, settings=settings, access_logs=access_logs)),
        xcoms=add_xcoms(t, settings=settings, logs=logs, access_logs=access_logs),
        dags=add_dags(t, settings=settings, access_logs=access_logs),
        secrets=add_secrets(t, settings=settings, backups=backups),
        cluster=add_cluster(t, network=network),
        work_limits=add_work_limits(t),
    )
    add_flow_logs(t, network=network, access_logs=access_logs)
    balancer = add_balancer(t, network=network, settings=settings, access_logs=access_logs, has_flower=has_flower)
    machines = add_machines(t, network=network)
    pools = add_pools(t, declared)
    notifications = add_notifications(t)
    airflow = add_airflow(
        t,
        base=base,
        balancer=balancer,
        pools=pools,
        machines=machines,
        notifications=notifications,
        telemetry=(telemetry := add_telemetry(t, network=network)),
        events=events,
    )
    let_send(t, events, airflow=airflow.role)
    workers = add_workers(t, base=base, airflow=airflow, lineage=telemetry.lineage, pools=pools)
    of_tasks = {pool: defined.role for pool, defined in workers.defined.items()}
    add_log_queries(t, airflow=airflow.log_group, workers=[defined.log_group for defined in workers.defined.values()])
    let_notify(t, notifications, airflow=airflow.role, tasks=list(of_tasks.values()))
    limit_xcoms(t, base.xcoms, writers=of_tasks)
    flower = add_flower(t, base=base, balancer=balancer, condition=has_flower)
    add_cleaning(t, base=base, airflow_log_group=airflow.log_group)
    functions = add_functions(t, base=base, airflow=airflow, workers=workers, flower=flower, pools=pools)
    add_alarms(t, base=base, functions=functions, workers=workers, pools=pools)
    add_work_alarms(t, base=base, site_url=airflow.connections.site_url)
    add_environment_alarm(t)
    add_dashboard(t, base=base, balancer=balancer, airflow=airflow, functions=functions, pools=pools)
    template = t.to_dict()
    if refused := over_quota(template, longest_place(template)):
        raise DoesNotFit("; ".join(refused))
    return t


def count_fitting(declared: Sequence[DeclaredPool]) -> int:
    """Return how many of pools that do not all fit do: the one of the default queue first, then in their order."""
    ordered = sorted(declared, key=lambda pool: DEFAULT_QUEUE not in pool.queues)
    fitting, failing = 0, len(declared)
    while failing - fitting > 1:
        middle = (fitting + failing) // 2
        try:
            build(ordered[:middle])
            fitting = middle
        except DoesNotFit:
            failing = middle
    return fitting


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Generate template.yaml and what follows from it.")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if a file is stale")
    parser.add_argument(
        "--template", type=Path, default=TEMPLATE_PATH, help="path of the template; template.yaml by default"
    )
    parser.add_argument(
        "--reference", type=Path, default=REFERENCE_PATH, help="path of the reference; docs/reference.md by default"
    )
    parser.add_argument(
        "--grafana",
        type=Path,
        default=GRAFANA_PATH,
        help="path of Grafana's dashboard; docs/grafana-dashboard.json by default",
    )
    options = parser.parse_args(arguments)
    try:
        t = build(POOLS)
    except DoesNotFit as error:
        print(f"{count_fitting(POOLS)} of {len(POOLS)} pools fit: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"template: {error}", file=sys.stderr)
        return 1
    texts: dict[Path, str] = {
        options.template: render(t),
        options.reference: render_reference(t),
        options.grafana: render_grafana(t),
    }
    if not options.check:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = [path for path, text in texts.items() if not (path.is_file() and path.read_text(encoding="utf-8") == text)]
    for path in stale:
        state = "is stale" if path.is_file() else "is missing"
        print(f"{path.name} {state}: run make template and commit the result", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
