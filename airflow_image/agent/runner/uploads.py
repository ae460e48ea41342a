"""Lets Airflow upload a task's log to S3 without asking first whether there is an earlier part of it.

There is one only if the task was deferred or rescheduled. The upload can say by itself that it must replace nothing:
if S3 refuses it for that reason, Airflow asks, reads and appends as before.
"""

from __future__ import annotations

from typing import Any

REFUSALS = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


def install() -> None:
    """Do so in this process and those forked from it.

    Raises AttributeError if Airflow's upload is another one than this module was written for.
    """
    from airflow.providers.amazon.aws.log.s3_task_handler import S3RemoteLogIO

    write = S3RemoteLogIO.write

    def write_new(self: Any, log: str, remote_log_location: str, append: bool = True, max_retry: int = 1) -> bool:
        if append and _is_written(self, log, remote_log_location):
            return True
        return bool(write(self, log, remote_log_location, append, max_retry))

    S3RemoteLogIO.write = write_new


def _is_written(remote: Any, log: str, location: str) -> bool:
    """Upload a log that has no earlier part; return whether it is uploaded.

    Airflow tries again whatever has failed, and reports it if that fails as well.
    """
    from airflow.providers.common.compat.sdk import conf
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, key = remote.hook.parse_s3_url(location)
    options = {"ServerSideEncryption": "AES256"} if conf.getboolean("logging", "ENCRYPT_S3_LOGS") else {}
    if remote.acl_policy:
        options["ACL"] = remote.acl_policy
    try:
        remote.hook.get_conn().put_object(Bucket=bucket, Key=key, Body=log.encode(), IfNoneMatch="*", **options)
    except ClientError as error:
        # An upload whose answer was lost is sent again, and meets itself.
        return error.response["Error"]["Code"] in REFUSALS and remote.s3_read(location) == log
    except BotoCoreError:
        return False
    return True
