"""Unit tests of who a provider's claims name."""

from typing import Any

import pytest

from sign_in.people import MappingError, Person, parse_mapping, person_of

MAPPING = parse_mapping('{"leads": "Admin", "team": ["Op", "Analyst"], "readers": "Viewer"}')
CLAIMS = {"iss": "https://login.example.com", "sub": "0001", "preferred_username": "ann"}


def person(**claims: Any) -> Person:
    return person_of({**CLAIMS, **claims}, mapping=MAPPING, groups_claim="groups")


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["leads"], ("Admin",)),
        (["readers", "team", "other"], ("Analyst", "Op", "Viewer")),
        ("readers", ("Viewer",)),
        (["Leads", " leads", "lead"], ()),
        ([], ()),
        (None, ()),
        (7, ()),
        ({"leads": True}, ()),
        ([["leads"], {"leads": 1}, None], ()),
    ],
)
def test_groups_give_their_roles_and_nothing_else_does(groups: Any, roles: tuple[str, ...]) -> None:
    assert person(groups=groups, roles=["Admin"], role="Admin").roles == roles


def test_issuer_and_subject_decide_who_someone_is() -> None:
    assert person().key == person(preferred_username="other", email="x@example.com", name="Other").key
    assert person().key != person(sub="0002").key
    assert person().key != person(iss="https://other.example.com").key
    # Where one ends and the other begins is part of it.
    assert person(iss="https://a/b", sub="c").key != person(iss="https://a", sub="b/c").key


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({}, "oidc:ann:"),
        ({"preferred_username": "admin"}, "oidc:admin:"),
        ({"preferred_username": None, "email": "a@example.com"}, "oidc:a@example.com:"),
        ({"preferred_username": ""}, "oidc:0001:"),
        ({"preferred_username": "a:b/c <script>"}, "oidc:a_b_c__script_:"),
        ({"preferred_username": "x" * 1000}, "oidc:" + "x" * 64 + ":"),
        ({"preferred_username": ["a"]}, "oidc:__a__:"),
    ],
)
def test_a_name_is_readable_and_never_a_local_user_s(claims: dict[str, Any], name: str) -> None:
    found = person(**claims).name
    assert found.startswith(name)
    assert len(found) < 100


@pytest.mark.parametrize(
    ("claims", "names"),
    [
        ({"given_name": "Ann", "family_name": "Lead"}, ("Ann", "Lead")),
        ({"name": "Ann Maria Lead"}, ("Ann", "Maria Lead")),
        ({}, ("ann", "")),
    ],
)
def test_names_of_people_are_the_provider_s(claims: dict[str, Any], names: tuple[str, str]) -> None:
    assert (person(**claims).first_name, person(**claims).last_name) == names


@pytest.mark.parametrize("text", ["", "{}"])
def test_without_a_mapping_no_group_has_a_role(text: str) -> None:
    assert parse_mapping(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"Admin"',
        '{"a": []}',
        '{"a": 1}',
        '{"a": [1]}',
        '{"a": ""}',
        '{"a": {}}',
        '{"a": "Viewer", "a": "Admin"}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:24],
)
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(MappingError):
        parse_mapping(text)


def test_a_name_holds_nothing_that_a_database_refuses_or_that_begins_a_line() -> None:
    claims = {"iss": "https://provider.example", "sub": "1", "given_name": "Ada\0\nB", "family_name": "L\r"}
    person = person_of(claims, mapping={}, groups_claim="groups")
    assert (person.first_name, person.last_name) == ("AdaB", "L")
