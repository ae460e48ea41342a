"""Flower is left out of a stack, added to it, and taken away again."""

from collections.abc import Iterator

import pytest

from stack.render import render
from template_gen import POOLS, build
from tests.support.aws_api import AwsApi, aws_api, outputs
from tests.support.deployed_pools import deploy_pools, packaged


@pytest.fixture
def api() -> Iterator[AwsApi]:
    with aws_api() as api:
        yield api


def flower_resources(api: AwsApi) -> set[str]:
    listed = api.client("cloudformation").describe_stack_resources(StackName="pools")["StackResources"]
    return {
        each["LogicalResourceId"]
        for each in listed
        if "Flower" in each["LogicalResourceId"] and each["ResourceStatus"] != "DELETE_COMPLETE"
    }


def users(api: AwsApi) -> set[str]:
    """Return the names of the broker's users."""
    listed = api.client("elasticache").describe_users()["Users"]
    return {str(each["UserId"]) for each in listed if each["UserGroupIds"] == ["pools-brokers"]}


def test_flower_comes_and_goes_with_all_that_belongs_to_it(api: AwsApi) -> None:
    stack = deploy_pools(api, POOLS, FlowerEnabled="false")
    assert flower_resources(api) == set()
    assert "FlowerUrl" not in outputs(stack)
    assert "pools-flower" not in users(api)
    others = users(api)

    for is_enabled in (True, False):
        template = packaged(render(build()))
        stack = api.carry_out("pools", template, "UPDATE", ImageUri="airflow:1", FlowerEnabled=str(is_enabled).lower())
        assert stack["StackStatus"] == "UPDATE_COMPLETE", api.failures("pools")
        assert ("FlowerService" in flower_resources(api)) is is_enabled
        assert ("FlowerUrl" in outputs(stack)) is is_enabled
        assert users(api) == (others | {"pools-flower"} if is_enabled else others)
    assert flower_resources(api) == set()
