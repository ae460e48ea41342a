"""The bucket of DAGs that are delivered without an image: operators write to it, Airflow and tasks only read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from troposphere import Output, Ref, Template
from troposphere.s3 import Bucket, ServerSideEncryptionByDefault

from stack.lib.iam import Statement, read_bucket
from stack.lib.logs import add_bucket, add_bucket_policy
from stack.lib.parameters import FormGroup, Matching, suppress
from stack.lib.settings import Settings
from stack.sections.logs import AccessLogs, log_requests

GROUP = "DAGs"
IMAGE = "image"  # the folder in the image; a test compares it with the image's own name
BUNDLE = "[a-z][a-z0-9-]{0,30}"
UNLOCKED_REASON = "Old versions of DAGs are removed by the command that uploads new ones."


@dataclass(frozen=True, kw_only=True)
class Dags:
    """The bucket; the variables of the containers that read DAGs, and what their code may do in AWS."""

    bucket: Bucket
    environment: Mapping[str, Any]
    statements: Sequence[Statement]


def add_dags(t: Template, *, settings: Settings, access_logs: AccessLogs) -> Dags:
    bundles = FormGroup(t, GROUP).add(
        "DagBundles",
        label="DAG bundles",
        description="Where Airflow finds DAGs, separated by commas: image, for the folder in the image, and names of "
        "bundles that make dags uploads. Keep a bundle until its last runs have ended.",
        constraint=Matching(
            regex=rf"^{BUNDLE}(,{BUNDLE})*$", must_be="names of small letters, digits and dashes, separated by commas"
        ),
        default=IMAGE,
    )
    encryption = ServerSideEncryptionByDefault(SSEAlgorithm="aws:kms", KMSMasterKeyID=settings.key_arn)
    bucket = add_bucket(t, "DagBucket", days=None, encryption=encryption)
    log_requests(bucket, access_logs)
    suppress(bucket, guard={"s3_bucket_object_lock_enabled_check": UNLOCKED_REASON})
    add_bucket_policy(t, "DagBucketPolicy", bucket=bucket)
    t.add_output(Output("DagBucketName", Description="Bucket of the DAGs that make dags uploads.", Value=Ref(bucket)))
    return Dags(
        bucket=bucket,
        environment={"DAG_BUCKET": Ref(bucket), "DAG_BUNDLES": Ref(bundles)},
        statements=read_bucket(bucket.get_att("Arn")),
    )
