"""The one key that encrypts what the stack stores: secrets, database, logs, alarms."""

from typing import Any

from troposphere import GetAtt, Ref, RetainExceptOnCreate, Sub, Template
from troposphere.kms import Alias, Key

from stack.lib.iam import POLICY_VERSION, allow_service
from stack.lib.parameters import suppress

RDS_LOGS = "/aws/rds/instance/"  # RDS's own prefix
# Days in which the deletion of the key can be undone: AWS's maximum.
PENDING_WINDOW_DAYS = 30


def add_encryption_key(t: Template) -> GetAtt:
    """Add the key and return its ARN. The key outlives the stack: the snapshot and the logs that remain need it."""
    key = t.add_resource(
        Key(
            "Key",
            DeletionPolicy=RetainExceptOnCreate,
            UpdateReplacePolicy="Retain",
            Description=Sub("Encrypts what ${AWS::StackName} keeps"),
            EnableKeyRotation=True,
            PendingWindowInDays=PENDING_WINDOW_DAYS,
            KeyPolicy={
                "Version": POLICY_VERSION,
                "Statement": [_allow_iam(), _deny_other_grants(), _allow_log_groups(), _allow_alarms()],
            },
        )
    )
    by_callers = "Lambda creates its grant with the caller's credentials; the rule knows only one of three conditions."
    suppress(key, guard={"kms_create_grant_aws_service_check": by_callers})
    t.add_resource(Alias("KeyAlias", AliasName=Sub("alias/${AWS::StackName}"), TargetKeyId=Ref(key)))
    return key.get_att("Arn")


def _allow_iam() -> dict[str, Any]:
    """Let IAM decide. Otherwise the policies of roles would have no effect, and no one could change the key."""
    return {
        "Sid": "IamDecides",
        "Effect": "Allow",
        "Principal": {"AWS": Sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")},
        "Action": "kms:*",
        "Resource": "*",
    }


def _deny_other_grants() -> dict[str, Any]:
    """Deny grants, except those that AWS services create for the resources that they encrypt with the key.

    Services sign such a request differently: as themselves, for one of their resources, or with the caller's
    credentials, as Lambda does for a function's environment. The last names no resource in every case.
    """
    by_a_service = {
        "kms:GrantIsForAWSResource": "false",
        "aws:PrincipalIsAWSService": "false",
        "aws:ViaAWSService": "false",
    }
    return {
        "Sid": "OnlyServicesPassItOn",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "kms:CreateGrant",
        "Resource": "*",
        "Condition": {"BoolIfExists": by_a_service},
    }


def _allow_log_groups() -> dict[str, Any]:
    """Allow the stack's log groups and those that RDS makes for databases.

    A database's name has the stack's in small letters, which CloudFormation cannot make.
    """
    names = ("${AWS::StackName}-*", f"{RDS_LOGS}*")
    groups = [
        Sub(f"arn:${{AWS::Partition}}:logs:${{AWS::Region}}:${{AWS::AccountId}}:log-group:{name}") for name in names
    ]
    return {
        "Sid": "LogGroupsOfThisStack",
        "Effect": "Allow",
        "Principal": {"Service": Sub("logs.${AWS::Region}.amazonaws.com")},
        "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
        "Resource": "*",
        "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
    }


def _allow_alarms() -> dict[str, Any]:
    """Let alarms use the key. Otherwise they could not publish to the encrypted topic, and nothing would show that."""
    actions = ["kms:Decrypt", "kms:GenerateDataKey*"]
    return {"Sid": "AlarmsOfThisAccount", **allow_service("cloudwatch.amazonaws.com", action=actions, resource="*")}
