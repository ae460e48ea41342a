"""Templates are read as CloudFormation reads them, and unsupported parts are refused."""

import pytest

from cfn.template import TemplateError, check_structure, parse


def test_dates_and_versions_stay_strings() -> None:
    template = parse("AWSTemplateFormatVersion: 2010-09-09\nVersion: 2012-10-17")
    assert template == {"AWSTemplateFormatVersion": "2010-09-09", "Version": "2012-10-17"}


def test_a_duplicate_key_is_refused_with_its_line() -> None:
    with pytest.raises(TemplateError, match=r"duplicate key A \(line 2\)"):
        parse("Resources:\n  A: 1\n  A: 2\n")


def test_a_duplicate_key_in_json_is_refused_with_its_line_too() -> None:
    with pytest.raises(TemplateError, match=r"duplicate key A \(line 2\)"):
        parse('{"Resources":\n  {"A": 1, "A": 2}}')


def test_json_is_read_too() -> None:
    assert parse('{"Resources": {"A": {"Type": "T"}}}') == {"Resources": {"A": {"Type": "T"}}}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("Resources: [", "Template format error"),
        ("just text", "unsupported structure"),
    ],
)
def test_a_text_that_is_no_template_is_refused_in_one_line(body: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why) as refusal:
        parse(body)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("Resources: {}", "At least one Resources member"),
        ("{Resources: {A: {Type: T}}, Hooks: {}}", "Hooks"),
        ("Resources: {A: {Properties: {}}}", "/Resources/A"),
        ("Resources: {A: {Type: T, UpdatePolicy: {}}}", r"does not support \['UpdatePolicy'\] of resource A"),
        ("{Resources: {A: {Type: T}}, Outputs: {O: {Value: 1, Export: {Name: n}}}}", "Export of output O"),
        ("{Resources: {A: {Type: T}}, Outputs: {O: {}}}", "Value: O"),
    ],
)
def test_unsupported_sections_and_attributes_are_refused(body: str, why: str) -> None:
    with pytest.raises(TemplateError, match=why):
        check_structure(parse(body))
