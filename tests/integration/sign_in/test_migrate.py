"""The role `migrate`: it makes a database whose users can sign in, of an empty one and of the last release's."""

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from bench.micro.page.webserver import PASSWORD, PYTHON, migrate, running_webserver
from local.servers.redis import Redis
from project.errors import CommandError
from roles import parts
from tests.integration.sign_in.conftest import Database
from tests.support.browser_sign_in import Browser

pytestmark = pytest.mark.slow  # each migration takes ten seconds of a processor

DECLARED = """
roles:
  Analyst:
    includes: Viewer
    may:
      can_create: [DAG Runs]
      can_edit: ["DAG:report"]
users:
  ada: {roles: [Analyst]}
  bob: {roles: [Op, Viewer]}
"""
ROLES = """
SELECT u.username, u.active, array_agg(r.name ORDER BY r.name) FILTER (WHERE r.name IS NOT NULL), u.password
FROM ab_user u LEFT JOIN ab_user_role ur ON ur.user_id = u.id LEFT JOIN ab_role r ON r.id = ur.role_id
GROUP BY u.id ORDER BY u.username
"""
MAY = """
SELECT p.name, v.name FROM ab_role r JOIN ab_permission_view_role pr ON pr.role_id = r.id
JOIN ab_permission_view pv ON pv.id = pr.permission_view_id JOIN ab_permission p ON p.id = pv.permission_id
JOIN ab_view_menu v ON v.id = pv.view_menu_id WHERE r.name = %s
"""
APPLYING = f"""
import sys
from sign_in.declared import parse
from sign_in.migrate import apply_declared
apply_declared(parse(sys.argv[1]), admin_password={PASSWORD!r}, passwords={{"ada": "ada-password"}})
"""
CHECK = """
import sys
from werkzeug.security import check_password_hash
sys.exit(not check_password_hash(sys.argv[1], sys.argv[2]))
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "migrate.log"


def users(database: Database) -> dict[str, tuple[bool, list[str] | None, str]]:
    with psycopg.connect(database.url) as connection:
        return {name: tuple(rest) for name, *rest in connection.execute(ROLES).fetchall()}


def permissions(database: Database, role: str) -> set[tuple[str, str]]:
    with psycopg.connect(database.url) as connection:
        return set(connection.execute(MAY, (role,)).fetchall())


def is_password(stored: str, password: str) -> bool:
    return subprocess.run([PYTHON, "-c", CHECK, stored, password], check=False).returncode == 0


def test_roles_and_users_are_what_the_file_declares_after_every_deployment(
    empty_database: Database, variables: dict[str, str], tmp_path: Path, log: Path
) -> None:
    migrate(home=tmp_path, variables=variables, log=log, declared=DECLARED)
    found = users(empty_database)
    assert {name: (active, roles) for name, (active, roles, _) in found.items()} == {
        "admin": (True, ["Admin"]),
        "ada": (True, ["Analyst"]),
        "bob": (True, ["Op", "Viewer"]),
    }
    assert is_password(found["admin"][2], PASSWORD)
    # migrate() has only the passwords of its own users: these have none, so no password signs them in.
    assert {found[name][2] for name in ("ada", "bob")} == {"!"}
    assert "user ada has no password in the secret" in log.read_text()
    analyst = permissions(empty_database, "Analyst")
    assert {("can_create", "DAG Runs"), ("can_edit", "DAG:report"), ("can_read", "Plugins")} <= analyst
    assert ("can_edit", "DAGs") not in analyst
    assert permissions(empty_database, "Viewer") <= analyst

    changed = "roles: {Analyst: {may: {can_read: [DAGs]}}}\nusers: {ada: {roles: [Analyst, User]}}"
    migrate(home=tmp_path, variables=variables, log=log, declared=changed)
    found = users(empty_database)
    assert {name: (active, roles) for name, (active, roles, _) in found.items()} == {
        "admin": (True, ["Admin"]),
        "ada": (True, ["Analyst", "User"]),
        "bob": (False, None),
    }
    assert permissions(empty_database, "Analyst") == {("can_read", "DAGs"), ("can_read", "Website")}


def test_an_environment_of_the_last_release_becomes_this_one_with_its_admin(
    broker: Redis, empty_database: Database, variables: dict[str, str], tmp_path: Path
) -> None:
    # The last release had Airflow's simple auth manager: its database has no table of FAB.
    airflow = str(PYTHON.with_name("airflow"))
    subprocess.run([airflow, "db", "migrate"], env=variables, cwd=tmp_path, check=True, capture_output=True)
    with psycopg.connect(empty_database.url) as connection:
        connection.execute("INSERT INTO variable (key, val, is_encrypted) VALUES ('kept', 'value', false)")
        tables = connection.execute(
            "SELECT tablename FROM pg_tables "
            "WHERE tablename LIKE 'ab\\_%' OR tablename IN ('session', 'alembic_version_fab')"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f'DROP TABLE "{table}" CASCADE')
    url = f"redis://{broker.host}:{broker.port}/0"
    with running_webserver(home=tmp_path, broker_url=url, settings=empty_database.settings) as site:
        browser = Browser(site.url)
        browser.enter("admin", PASSWORD)
        assert browser.get("/api/v2/variables/kept").json()["value"] == "value"
        assert browser.get("/auth/fab/v1/users").status_code == 200  # Admin's alone
        browser.close()


def test_copies_of_the_service_may_apply_roles_and_users_at_once(
    empty_database: Database, variables: dict[str, str], tmp_path: Path, log: Path
) -> None:
    migrate(home=tmp_path, variables=variables, log=log, declared="")
    settings = {**variables, **parts.PEOPLE.settings({})}
    both = [
        subprocess.Popen(
            [PYTHON, "-c", APPLYING, DECLARED],
            env=settings,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    said = [each.communicate()[0].decode() for each in both]
    assert [each.returncode for each in both] == [0, 0], "\n".join(said)
    assert is_password(users(empty_database)["ada"][2], "ada-password")
    assert not any("ada-password" in each or PASSWORD in each for each in said)


@pytest.mark.parametrize(
    ("declared", "why"), [("roles: {Admin: {}}", "access.yaml: role Admin is Airflow's own"), ("[", "is not YAML")]
)
def test_a_file_that_declares_what_cannot_be_ends_the_deployment_before_it_changes_anything(
    empty_database: Database, variables: dict[str, str], tmp_path: Path, log: Path, declared: str, why: str
) -> None:
    with pytest.raises(CommandError, match="sign-in: "):
        migrate(home=tmp_path, variables=variables, log=log, declared=declared)
    assert why in log.read_text()
    with psycopg.connect(empty_database.url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_other_commands_of_airflow_need_no_variable_of_the_sign_in(
    empty_database: Database, variables: dict[str, str], tmp_path: Path, log: Path
) -> None:
    migrate(home=tmp_path, variables=variables, log=log, declared=DECLARED)
    # Only what leads FAB to its settings, as an operator's shell in the container would have it.
    plain = {name: value for name, value in variables.items() if not name.startswith("SIGN_IN_")}
    airflow = str(PYTHON.with_name("airflow"))
    for command in (["users", "list", "--output", "json"], ["roles", "list", "--output", "json"], ["db", "check"]):
        done = subprocess.run([airflow, *command], env=plain, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        if command[0] == "users":
            listed = json.loads(done.stdout[done.stdout.index("[{") :])
            assert {user["username"] for user in listed} == {"admin", "ada", "bob"}


def test_a_mapping_to_a_role_that_does_not_exist_ends_the_deployment(
    variables: dict[str, str], tmp_path: Path, log: Path
) -> None:
    with pytest.raises(CommandError, match="RoleMapping names the role Boss, which does not exist"):
        migrate(home=tmp_path, variables={**variables, "ROLE_MAPPING": '{"leads": ["Op", "Boss"]}'}, log=log)
    migrate(home=tmp_path, variables={**variables, "ROLE_MAPPING": '{"leads": ["Op", "Admin"]}'}, log=log)
