"""The schemas that the local AWS API reads are those that cfn-lint works by."""

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from local.aws.resources.schemas import REGION, Rules, rules_of
from tests.support import rendered

TYPES = sorted({resource["Type"] for resource in rendered.deployed()["Resources"].values()})


@pytest.mark.parametrize("kind", TYPES)
def test_the_rules_of_a_type_are_those_of_its_schema(kind: str) -> None:
    read, known = rules_of(kind), Rules(PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema)
    assert (read.replaces, read.may_replace, read.read_only) == (known.replaces, known.may_replace, known.read_only)
    assert read.violations({"Nonsense": 1}) == known.violations({"Nonsense": 1}) != []


def test_a_type_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        rules_of("AWS::Nothing::AtAll")
