"""Keeps the log groups that RDS makes for the database as the stack keeps its own: for a limited time, with its key.

RDS creates the groups together with the database, whose name is not known before. So the template cannot declare them:
schedules call CloudWatch Logs once a day, the first time at once.
"""

from collections.abc import Sequence

from troposphere import Sub, Template
from troposphere.iam import Role
from troposphere.rds import DBInstance
from troposphere.scheduler import FlexibleTimeWindow, RetryPolicy, Schedule, Target

from stack.lib.iam import SCHEDULER, add_role, allow
from stack.lib.parameters import placeholder
from stack.lib.settings import Settings
from stack.sections.encryption_key import RDS_LOGS

EVERY_DAY = "rate(1 day)"
# A group that does not exist yet, as before the first upgrade, has its turn the next day.
TRIES_AGAIN = 2
LONGEST_TRY_S = 3600


def add_database_logs(t: Template, *, instance: DBInstance, logs: Sequence[str], settings: Settings) -> None:
    """Add, for each of RDS's `logs`, a schedule that sets the retention and one that sets the key."""
    groups = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:"
    role = add_role(
        t,
        "DatabaseLogsRole",
        service=SCHEDULER,
        statements=[
            allow(
                actions=["logs:AssociateKmsKey", "logs:PutRetentionPolicy"],
                resources=[Sub(f"{groups}{_group(instance, log)}{end}") for log in logs for end in ("", ":*")],
            )
        ],
        boundary=settings.permissions_boundary,
    )
    for log in logs:
        title, named = log.capitalize(), f'"LogGroupName":"{_group(instance, log)}"'
        _add_call(
            t,
            f"DatabaseLogDays{title}",
            call="putRetentionPolicy",
            request=Sub(f'{{{named},"RetentionInDays":${{Days}}}}', Days=settings.log_retention_days),
            role=role,
        )
        _add_call(
            t,
            f"DatabaseLogKey{title}",
            call="associateKmsKey",
            request=Sub(f'{{{named},"KmsKeyId":"${{Key}}"}}', Key=settings.key_arn),
            role=role,
        )


def _group(instance: DBInstance, log: str) -> str:
    return f"{RDS_LOGS}{placeholder(instance)}/{log}"


def _add_call(t: Template, title: str, *, call: str, request: Sub, role: Role) -> None:
    t.add_resource(
        Schedule(
            title,
            Description=f"Calls {call} of CloudWatch Logs for a log group that RDS made",
            FlexibleTimeWindow=FlexibleTimeWindow(Mode="OFF"),
            ScheduleExpression=EVERY_DAY,
            Target=Target(
                Arn=Sub(f"arn:${{AWS::Partition}}:scheduler:::aws-sdk:cloudwatchlogs:{call}"),
                Input=request,
                RetryPolicy=RetryPolicy(MaximumRetryAttempts=TRIES_AGAIN, MaximumEventAgeInSeconds=LONGEST_TRY_S),
                RoleArn=role.get_att("Arn"),
            ),
        )
    )
