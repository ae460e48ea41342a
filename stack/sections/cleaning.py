"""The cleaning of Airflow's database: an ECS task that a schedule starts, and the alarm for when that does not help."""

from troposphere import Equals, If, Not, Output, Ref, Sub, Template
from troposphere.iam import Role
from troposphere.logs import LogGroup, MetricFilter, MetricTransformation
from troposphere.scheduler import (
    AwsVpcConfiguration,
    EcsParameters,
    FlexibleTimeWindow,
    NetworkConfiguration,
    RetryPolicy,
    Schedule,
    Target,
)

from stack.lib.alarms import METRICS_NAMESPACE, Measure, MetricAlarm, above, add_alarm
from stack.lib.iam import SCHEDULER, add_role, run_task
from stack.lib.parameters import FormGroup, Matching, add_condition
from stack.lib.security_groups import Group, add_aws_client_group, allow_traffic
from stack.lib.task_definition import Container, DefinedTask, Size, Task, add_task
from stack.sections.database_settings import GROUP
from stack.sections.foundation import Foundation

ROLE = "clean"
# Fargate's smallest: it only waits for the database. Measured at 60 MiB.
CPU, MEMORY_MIB = "256", "512"
# If Fargate has no capacity for it for so long, the next time will do.
TRIES_AGAIN = 3
LONGEST_TRY_S = 3600
DAY_S = 86_400
# agent.forecaster.overdue writes it. It cannot be imported here; a test compares.
OVERDUE_FIELD = "database_overdue_days"
MOST_DAYS_OVERDUE = 1


def add_cleaning(t: Template, *, base: Foundation, airflow_log_group: LogGroup) -> None:
    group = add_aws_client_group(t, "CleanGroup", vpc=base.network.vpc, description="Cleaning of the database")
    allow_traffic(t, source=group, target=base.database.group, port=base.database.port)
    defined = add_task(
        t,
        "Clean",
        settings=base.settings,
        task=Task(containers=(_container(base),), size=Size(cpu=CPU, memory_mib=MEMORY_MIB)),
    )
    role = add_role(
        t,
        "CleanScheduleRole",
        service=SCHEDULER,
        statements=run_task(
            definition=defined.definition,
            roles=[defined.role, defined.execution_role],
            cluster=base.cluster.ecs,
        ),
        boundary=base.settings.permissions_boundary,
    )
    schedule = _add_schedule(t, base=base, defined=defined, group=group, role=role)
    t.add_output(
        Output("CleanScheduleName", Description="Schedule that cleans Airflow's database.", Value=Ref(schedule))
    )
    _add_alarm(t, base=base, log_group=airflow_log_group)


def _container(base: Foundation) -> Container:
    database = base.database
    needed = {name: value for name, value in database.environment.items() if name != "DATABASE_SECRET_ARN"}
    return Container(
        role=ROLE,
        memory_mib=int(MEMORY_MIB),
        environment={**needed, "CLEAN_KEEP_DAYS": database.keep_days},
        secrets=database.secrets,
        health=None,
    )


def _add_schedule(t: Template, *, base: Foundation, defined: DefinedTask, group: Group, role: Role) -> Schedule:
    expression = FormGroup(t, GROUP).add(
        "DatabaseCleanSchedule",
        label="Schedule of the cleaning",
        description="When old runs and records are deleted from Airflow's database, in UTC: cron(...) or rate(...) of "
        "EventBridge Scheduler. The environment must be awake then.",
        constraint=Matching(
            regex=r"^(cron\([0-9A-Z*?,/# -]+\)|rate\([0-9]+ (minute|hour|day)s?\))$",
            must_be="cron(...) with six fields, or rate(...)",
        ),
        default="cron(30 3 * * ? *)",
    )
    is_cleaned = add_condition(t, "IsDatabaseCleaned", Not(Equals(base.database.keep_days, "0")))
    return t.add_resource(
        Schedule(
            "CleanSchedule",
            Description="Deletes what Airflow's database has kept for long enough",
            FlexibleTimeWindow=FlexibleTimeWindow(Mode="OFF"),
            ScheduleExpression=Ref(expression),
            State=If(is_cleaned, "ENABLED", "DISABLED"),
            Target=Target(
                Arn=base.cluster.ecs.get_att("Arn"),
                EcsParameters=EcsParameters(
                    LaunchType="FARGATE",
                    NetworkConfiguration=NetworkConfiguration(
                        AwsvpcConfiguration=AwsVpcConfiguration(
                            AssignPublicIp="DISABLED",
                            SecurityGroups=[group.id],
                            Subnets=base.network.private_subnets,
                        )
                    ),
                    TaskCount=1,
                    TaskDefinitionArn=Ref(defined.definition),
                ),
                RetryPolicy=RetryPolicy(MaximumRetryAttempts=TRIES_AGAIN, MaximumEventAgeInSeconds=LONGEST_TRY_S),
                RoleArn=role.get_att("Arn"),
            ),
        )
    )


def _add_alarm(t: Template, *, base: Foundation, log_group: LogGroup) -> None:
    """Add the alarm on what the database still has, whatever the reason: a success that was reported could be wrong."""
    name = Sub("DatabaseOverdueDays-${AWS::StackName}")
    t.add_resource(
        MetricFilter(
            "DatabaseOverdue",
            FilterPattern=f"{{ $.{OVERDUE_FIELD} = * }}",
            LogGroupName=Ref(log_group),
            MetricTransformations=[
                MetricTransformation(
                    MetricName=name, MetricNamespace=METRICS_NAMESPACE, MetricValue=f"$.{OVERDUE_FIELD}"
                )
            ],
        )
    )
    measure = Measure(METRICS_NAMESPACE, {}, name, "Minimum")
    add_alarm(
        t,
        "AlarmDatabaseNotCleaned",
        topic=base.topic,
        alarm=MetricAlarm(
            description="The database keeps what it should have deleted days ago, and grows.",
            measure=measure,
            limit=above(MOST_DAYS_OVERDUE),
            # After a change of DatabaseKeepDays a part of the first day is overdue.
            periods=2,
            period_s=DAY_S,
        ),
    )
