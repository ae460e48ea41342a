"""Alarms on Airflow's own work, and one that is on while any alarm of the environment is.

The forecaster reads Airflow's database, the version check publishes what it reports; agent.work_report has what
each figure means.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from troposphere import Ref, Sub, Template
from troposphere.cloudwatch import Alarm, CompositeAlarm

from fleet.work import (
    IMPORT_ERRORS,
    LATE_DAGS,
    PARSE_TIME,
    RUN_FAILURES,
    SCHEDULING_DELAY,
    SILENT_COMPONENTS,
    TASK_FAILURES,
    TRIGGERER_LOAD,
    WORK_REPORTS,
)
from stack.lib.alarms import (
    CLUSTER_DIMENSION,
    METRICS_NAMESPACE,
    Measure,
    MetricAlarm,
    above,
    add_alarm,
    at_least,
    below,
)
from stack.lib.parameters import placeholder
from stack.sections.events import waiting_metric
from stack.sections.foundation import Foundation
from stack.sections.telemetry import undelivered_metric

FULL_TRIGGERER_PERCENT = 90
PERIOD_OF_LOGS_S = 300
# A container sends once a minute, so one that never succeeds is enough.
UNDELIVERED_A_PERIOD = 4
MOST_WAITING_S = 300
FAILED_RUNS, FAILED_TASKS, DAGS = "/dag_runs?state=failed", "/task_instances?task_state=failed", "/dags"
ANY = "AlarmEnvironment"


def add_work_alarms(t: Template, *, base: Foundation, site_url: Sub) -> None:
    """Add the alarms. `site_url`: at which people open Airflow."""
    for title, alarm in _alarms(base, site_url=site_url).items():
        add_alarm(t, title, alarm=alarm, topic=base.topic)


def _alarms(base: Foundation, *, site_url: Sub) -> Mapping[str, MetricAlarm]:
    of_fleet = partial(Measure, METRICS_NAMESPACE, {CLUSTER_DIMENSION: Ref(base.cluster.ecs)})
    limit = base.work_limits.threshold

    def linked(path: str) -> Any:
        return Sub(f"${{Site}}{path}", Site=site_url)

    return {
        "AlarmTaskFailures": MetricAlarm(
            description="More tasks have failed lately than WorkAlarmLimits allows.",
            link=linked(FAILED_TASKS),
            measure=of_fleet(TASK_FAILURES, "Maximum"),
            limit=above(limit("TaskFailures")),
            periods=1,
        ),
        "AlarmRunFailures": MetricAlarm(
            description="Runs of DAGs have failed, more than WorkAlarmLimits allows; another message names them.",
            link=linked(FAILED_RUNS),
            measure=of_fleet(RUN_FAILURES, "Maximum"),
            limit=above(limit("RunFailures")),
            periods=1,
        ),
        "AlarmDagLate": MetricAlarm(
            description="A DAG has not succeeded for too many of its intervals; another message names it.",
            link=linked(DAGS),
            measure=of_fleet(LATE_DAGS, "Maximum"),
            limit=above(0),
            periods=2,
        ),
        "AlarmImportErrors": MetricAlarm(
            description="A DAG file does not import; another message names it.",
            link=linked(DAGS),
            measure=of_fleet(IMPORT_ERRORS, "Maximum"),
            limit=above(0),
            periods=2,
        ),
        "AlarmSchedulingDelay": MetricAlarm(
            description="A run that is due waits for the scheduler, longer than WorkAlarmLimits allows.",
            link=linked(DAGS),
            measure=of_fleet(SCHEDULING_DELAY, "Maximum"),
            limit=above(limit("DelaySeconds")),
            periods=3,
        ),
        "AlarmParseSlow": MetricAlarm(
            description="A DAG file takes longer to parse than WorkAlarmLimits allows.",
            measure=of_fleet(PARSE_TIME, "Maximum"),
            limit=above(limit("ParseSeconds")),
            periods=3,
        ),
        "AlarmTriggererFull": MetricAlarm(
            description=f"The triggerers have {FULL_TRIGGERER_PERCENT} % of the triggers that they can run, or more.",
            measure=of_fleet(TRIGGERER_LOAD, "Maximum"),
            limit=at_least(FULL_TRIGGERER_PERCENT),
            periods=5,
        ),
        "AlarmComponentSilent": MetricAlarm(
            description="Scheduler, DAG processor or triggerer has no heartbeat, or a bundle is not parsed.",
            measure=of_fleet(SILENT_COMPONENTS, "Maximum"),
            limit=above(0),
            periods=5,
        ),
        # The others have no data then.
        "AlarmWorkUnknown": MetricAlarm(
            description="No one reports how Airflow's work goes, so the alarms on it are blind.",
            measure=of_fleet(WORK_REPORTS, "Maximum"),
            limit=below(1),
            periods=10,
            missing="breaching",
        ),
        # Of both nothing is logged while all is well.
        "AlarmTelemetryUndelivered": MetricAlarm(
            description="Metrics, traces or lineage have not been delivered for a quarter of an hour.",
            measure=Measure(METRICS_NAMESPACE, {}, undelivered_metric(), "Sum"),
            limit=at_least(UNDELIVERED_A_PERIOD),
            periods=3,
            period_s=PERIOD_OF_LOGS_S,
            missing="notBreaching",
        ),
        "AlarmEventsWaiting": MetricAlarm(
            description="State changes wait to be sent to the event bus.",
            measure=Measure(METRICS_NAMESPACE, {}, waiting_metric(), "Maximum"),
            limit=above(MOST_WAITING_S),
            periods=1,
            period_s=PERIOD_OF_LOGS_S,
            missing="notBreaching",
        ),
    }


def add_environment_alarm(t: Template) -> None:
    """Add the alarm that is on while any other is, after all of them. It does not notify: each of them does."""
    alarms = [each for each in t.resources.values() if isinstance(each, Alarm)]
    t.add_resource(
        CompositeAlarm(
            ANY,
            AlarmDescription=f"An alarm of the environment is on. See docs/runbook/{ANY}.md.",
            AlarmRule=Sub(" OR ".join(f'ALARM("{placeholder(each)}")' for each in alarms)),
        )
    )
