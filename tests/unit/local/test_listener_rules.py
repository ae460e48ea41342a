"""The local load balancer's rules, as AWS documents them, and what the template's own rules let through."""

from typing import Any

import pytest

from local.fargate.listener_rules import answer, matches, path_of, read_rules
from stack.sections.airflow import MACHINE_PATHS, PATHS
from stack.sections.flower import PATHS as FLOWER_PATHS
from tests.support import rendered
from tests.support.execution_spellings import SPELLINGS


def template_rules(listener: str) -> Any:
    """Return a listener's rules of the template as the API would describe them, without sign-in and plugins."""
    resources = rendered.template()["Resources"]
    described = [
        {**r["Properties"], "Actions": r["Properties"]["Actions"][-1:]}
        for r in resources.values()
        if r["Type"] == "AWS::ElasticLoadBalancingV2::ListenerRule"
        and r["Properties"]["ListenerArn"] == {"Ref": listener}
        and r.get("Condition") != "HasPluginPaths"
    ]
    default = {"Priority": "default", "Actions": resources[listener]["Properties"]["DefaultActions"]}
    return read_rules([default, *described])


@pytest.mark.parametrize(
    ("pattern", "path", "is_match"),
    [
        ("/execution", "/execution", True),
        ("/execution", "/execution/", False),
        ("/execution/*", "/execution/", True),
        ("/execution/*", "/execution/a/b", True),
        ("/execution/*", "/EXECUTION/a", False),
        ("/execution/*", "/%65xecution/a", False),
        ("/dags*", "/dags", True),
        ("/dags*", "/dagsters/x", True),
        ("/da?s", "/dags", True),
        ("/da?s", "/das", False),
        ("/a.c", "/abc", False),
        ("*", "", True),
    ],
)
def test_a_pattern_is_case_sensitive_with_two_wildcards_and_matches_the_undecoded_path(
    pattern: str, path: str, is_match: bool
) -> None:
    assert matches(pattern, path) is is_match


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/b?c=/d", "/a/b"),
        ("/a#b", "/a"),
        ("http://host:80/a/b?c", "/a/b"),
        ("/a\x01b\x7f", "/ab"),
        ("/a//b/../c", "/a//b/../c"),
        ("*", "*"),
    ],
)
def test_a_path_has_no_query_no_host_and_no_control_characters(target: str, path: str) -> None:
    assert path_of(target) == path


def test_rules_are_tried_by_priority_and_the_default_last() -> None:
    def rule(priority: str, *patterns: str, status: str = "") -> dict[str, Any]:
        conditions = [{"Field": "path-pattern", "PathPatternConfig": {"Values": list(patterns)}}]
        fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": status, "MessageBody": "no"}}
        action = fixed if status else {"Type": "forward"}
        return {"Priority": priority, "Conditions": conditions if patterns else [], "Actions": [action]}

    rules = read_rules([rule("default", status="404"), rule("20", "/a*"), rule("3", "/a/hidden", status="403")])
    assert answer(rules, "/a/b") is None
    assert (answer(rules, "/a/hidden?x") or b"").startswith(b"HTTP/1.1 403 ")
    assert (answer(rules, "/b") or b"").startswith(b"HTTP/1.1 404 ")
    assert (answer(rules, "/b") or b"").endswith(b"\r\n\r\nno")


@pytest.mark.parametrize(
    "rule",
    [
        {"Priority": "1", "Conditions": [{"Field": "host-header", "Values": ["a"]}], "Actions": [{"Type": "forward"}]},
        {"Priority": "1", "Conditions": [], "Actions": [{"Type": "redirect"}]},
    ],
)
def test_a_rule_that_is_not_played_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="does not know"):
        read_rules([rule])


# The balancer compares undecoded text: these begin with an allowed path, and only the image refuses them.
LEFT_TO_THE_IMAGE = {
    "/dags/../execution/health",
    "/dags/%2e%2e/execution/health",
    "/dags/..%2Fexecution/health",
    "/static/..%2f..%2fexecution/health",
    "/api/v2/%2E%2E/%2E%2E/execution/health",
    "/fleet/..;/execution/health",
    "/machines/../execution/health",
    "/machines/%2e%2e/execution/health",
    "/machines/token/../../execution/health",
    "/auth/..%2fexecution/health",
    "/dags\\..\\execution\\health",
    "http://localhost/dags/../execution/health",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_template_s_rules_forward_no_spelling_that_does_not_begin_with_an_allowed_path(spelling: str) -> None:
    assert (answer(template_rules("WebserverListener"), spelling) is None) is (spelling in LEFT_TO_THE_IMAGE)


@pytest.mark.parametrize(
    ("listener", "target", "is_forwarded"),
    [
        ("WebserverListener", "/", True),
        ("WebserverListener", "/?next=/dags", True),
        ("WebserverListener", "/dags/a/runs/b", True),
        ("WebserverListener", "/api/v2/dags", True),
        ("WebserverListener", "/fleet/api/fleet", True),
        ("WebserverListener", "/machines/token", True),
        ("WebserverListener", "/fleet/version", False),
        ("WebserverListener", "/other", False),
        ("WebserverListener", "/metrics", False),
        ("FlowerListener", "/", True),
        ("FlowerListener", "/task/0123", True),
        ("FlowerListener", "/tasks/datatable", True),
        ("FlowerListener", "/api/workers", True),
        ("FlowerListener", "/healthcheck", False),
        ("FlowerListener", "/other", False),
    ],
)
def test_the_template_s_rules_forward_the_sites_own_paths_only(listener: str, target: str, is_forwarded: bool) -> None:
    assert (answer(template_rules(listener), target) is None) is is_forwarded


@pytest.mark.parametrize(
    ("listener", "paths"),
    # The load balancer signs people in before Flower only, and answers where the provider sends them back.
    [("WebserverListener", (*MACHINE_PATHS, *PATHS)), ("FlowerListener", (*FLOWER_PATHS, "/oauth2/idpresponse"))],
)
def test_every_path_that_is_declared_is_in_a_rule(listener: str, paths: tuple[str, ...]) -> None:
    patterns = {p for rule in template_rules(listener) if rule.response is None for p in rule.patterns or ()}
    assert patterns == {*paths}
