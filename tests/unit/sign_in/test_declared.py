"""Unit tests of the file with a team's roles and users."""

import pytest

from project.paths import IMAGE_SOURCE
from sign_in.declared import DeclarationError, Declared, DeclaredRole, DeclaredUser, parse

EXAMPLE = """
roles:
  Analyst:
    includes: Viewer
    may:
      can_create: [DAG Runs]
      can_edit: ["DAG:report"]
users:
  ada:
    full_name: Ada Lovelace
    roles: [Analyst, User]
  bob:
    roles: [Op]
"""


def test_roles_and_users_are_read() -> None:
    permissions = frozenset({("can_create", "DAG Runs"), ("can_edit", "DAG:report")})
    assert parse(EXAMPLE) == Declared(
        roles=(DeclaredRole(name="Analyst", includes="Viewer", permissions=permissions),),
        users=(
            DeclaredUser(name="ada", full_name="Ada Lovelace", roles=("Analyst", "User")),
            DeclaredUser(name="bob", full_name="bob", roles=("Op",)),
        ),
    )


@pytest.mark.parametrize("text", ["", "roles: {}", "users:\n"])
def test_a_file_may_declare_nothing(text: str) -> None:
    assert parse(text) == Declared()


def test_the_images_own_file_declares_nothing_and_its_example_is_valid() -> None:
    text = (IMAGE_SOURCE / "access.yaml").read_text()
    assert parse(text) == Declared()
    example = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")][1:]
    assert [user.name for user in parse("\n".join(example)).users] == ["ada"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "it is not YAML"),
        ("- a", "the file must be a mapping"),
        ("people: {}", "the file has 'people', not only roles and users"),
        ("roles: {Admin: {}}", "role Admin is Airflow's own"),
        ("roles: {A: {includes: Boss}}", "role A includes 'Boss', not one of Admin"),
        ("roles: {A: {may: {can_fly: [DAGs]}}}", "role A has the action 'can_fly'"),
        ("roles: {A: {may: {can_read: [Dags]}}}", "role A has the resource 'Dags'"),
        ("roles: {A: {may: {can_read: ['DAG:']}}}", "role A has the resource 'DAG:'"),
        ("roles: {A: {may: {can_read: DAGs}}}", "role A, can_read must be a list"),
        ("roles: {A: {grants: {}}}", "role A has 'grants'"),
        ("users: {admin: {roles: [Op]}}", "user admin is made by the stack"),
        ("users: {Admin: {roles: [Op]}}", "user Admin is made by the stack"),
        ("users: {'oidc:ada': {roles: [Op]}}", "user oidc:ada: a name has up to 64"),
        ("users: {ada: {roles: []}}", "user ada has no role"),
        ("users: {ada: {}}", "user ada, roles must be a list"),
        ("users: {ada: {roles: [Boss]}}", "user ada has the role 'Boss', which is neither"),
        ("users: {ada: {roles: [Op], password: x}}", "user ada has 'password'"),
        ("users: {ada: {roles: [Op]}, Ada: {roles: [Op]}}", "two users have the same name"),
        ("users: {1: {roles: [Op]}}", "users must be a mapping of names"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        parse(text)
    assert str(refused.value).startswith(why)
    assert "\n" not in str(refused.value)
