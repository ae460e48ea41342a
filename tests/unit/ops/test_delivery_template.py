"""The names that a delivery uses exist in the template."""

from ops.delivery.delivery import DATABASE, snapshot_name
from ops.delivery.stack import IMAGE, PROTECTION
from ops.versions.check import OUTPUT
from template_gen import build


def test_the_template_has_the_database_the_image_and_the_version_check_that_a_delivery_names() -> None:
    template = build().to_dict()
    assert template["Resources"][DATABASE]["Type"] == "AWS::RDS::DBInstance"
    assert {IMAGE, PROTECTION} <= template["Parameters"].keys()
    assert OUTPUT in template["Outputs"]


def test_a_snapshot_has_a_name_that_rds_takes() -> None:
    assert snapshot_name("airflow-qa", "v1.4.0--rc.1_x", now=0) == "airflow-qa-before-v1-4-0-rc-1-x-19700101-000000"
