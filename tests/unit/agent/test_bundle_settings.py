"""The settings that make Airflow read bundles; the image's folder alone needs none."""

import json

import pytest

from roles.bundle_settings import bundle_settings
from roles.errors import ConfigurationError

LIST = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"


@pytest.mark.parametrize("names", ["", "image"])
def test_the_images_folder_alone_is_airflows_default(names: str) -> None:
    assert bundle_settings({"DAG_BUNDLES": names, "DAG_BUCKET": "b"}) == {}


def test_each_bundle_is_an_entry_and_the_images_folder_keeps_airflows_name() -> None:
    settings = bundle_settings({"DAG_BUNDLES": "image,dags", "DAG_BUCKET": "b", "AIRFLOW_HOME": "/opt/airflow"})
    image, dags = json.loads(settings[LIST])
    assert (image["name"], image["kwargs"]) == ("dags-folder", {})
    assert (dags["name"], dags["classpath"]) == ("dags", "dag_bundles.s3.S3DagBundle")
    assert dags["kwargs"]["bucket"] == "b"
    assert settings["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH"] == "/opt/airflow/dag_bundles"
    assert settings["AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL"] == "0"


@pytest.mark.parametrize("given", [{"DAG_BUNDLES": "dags"}, {"DAG_BUNDLES": "Dags", "DAG_BUCKET": "b"}])
def test_a_list_that_cannot_be_used_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="DAG_BUNDLES"):
        bundle_settings(given)
