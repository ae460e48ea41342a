"""Airflow's settings for DAG bundles that the stack's bucket has."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agent import variables
from fleet.dag_versions import names
from roles.errors import ConfigurationError

LOCAL_BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
S3_BUNDLE = "dag_bundles.s3.S3DagBundle"
# The DAG processor looks into what its thread has ready. Each time it writes a row of the database.
REFRESH_S = 1
SECTION = "AIRFLOW__DAG_PROCESSOR__"


def bundle_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the settings; none for the image's folder alone, which is Airflow's own default.

    Raises ConfigurationError.
    """
    try:
        bundles = names.parse_names(given.get(variables.DAG_BUNDLES, ""))
    except names.BadNames as error:
        raise ConfigurationError(f"{variables.DAG_BUNDLES}: {error}") from None
    if bundles == (names.IMAGE,):
        return {}
    if not (bucket := given.get(variables.DAG_BUCKET)):
        raise ConfigurationError(f"{variables.DAG_BUNDLES} needs {variables.DAG_BUCKET}")
    home = given.get(variables.AIRFLOW_HOME, "")
    return {
        f"{SECTION}DAG_BUNDLE_CONFIG_LIST": json.dumps([_entry(name, bucket) for name in bundles]),
        f"{SECTION}BUNDLE_REFRESH_CHECK_INTERVAL": str(REFRESH_S),
        # Airflow's own clean-up does not know which version is being parsed. The bundle has one.
        f"{SECTION}STALE_BUNDLE_CLEANUP_INTERVAL": "0",
        **({f"{SECTION}DAG_BUNDLE_STORAGE_PATH": f"{home}/dag_bundles"} if home else {}),
    }


def _entry(name: str, bucket: str) -> dict[str, object]:
    if name == names.IMAGE:
        return {"name": names.AIRFLOWS_NAME, "classpath": LOCAL_BUNDLE, "kwargs": {}}
    return {"name": name, "classpath": S3_BUNDLE, "kwargs": {"bucket": bucket, "refresh_interval": REFRESH_S}}
