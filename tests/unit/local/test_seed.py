"""Connections and variables for the local stack, from a file whose values are never repeated."""

import json
from pathlib import Path

import pytest

from local.stack.seed import find_seed, read_seed
from project import paths
from project.errors import CommandError

SECRET = "top-secret-value"


def seed_file(folder: Path, text: str) -> Path:
    path = folder / "airflow_local.yaml"
    path.write_text(text)
    return path


def test_variables_are_texts_or_json(tmp_path: Path) -> None:
    found = read_seed(seed_file(tmp_path, "variables:\n  a: text\n  b: {c: [1, 2]}\n  d: 5\n"))
    assert [*found.variables] == [
        {"key": "a", "value": "text"},
        {"key": "b", "value": '{"c": [1, 2]}'},
        {"key": "d", "value": "5"},
    ]


def test_a_connection_is_a_uri_or_its_fields(tmp_path: Path) -> None:
    text = f"""
connections:
  lake: postgresql://ada:p%40ss@db.internal:5432/lake?sslmode=require
  api:
    conn_type: http
    host: example.com
    password: {SECRET}
    port: 8443
    extra: {{timeout: 5}}
  odd: google-cloud-platform://?__extra__=%7B%22a%22%3A+1%7D
"""
    lake, api, odd = read_seed(seed_file(tmp_path, text)).connections
    assert lake == {
        "connection_id": "lake",
        "conn_type": "postgres",
        "host": "db.internal",
        "login": "ada",
        "password": "p@ss",
        "schema": "lake",
        "port": 5432,
        "extra": '{"sslmode": "require"}',
    }
    assert (api["port"], json.loads(api["extra"]), api["password"]) == (8443, {"timeout": 5}, SECRET)
    assert odd == {"connection_id": "odd", "conn_type": "google_cloud_platform", "extra": '{"a": 1}'}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"variables: [{SECRET}", ":1: this is not YAML"),
        (f"secrets:\n  a: {SECRET}\n", "must be a mapping with `variables` and `connections`"),
        (f"variables: [{SECRET}]\n", "`variables` must be a mapping by name"),
        (f"connections:\n  a: [{SECRET}]\n", "the connection a must be a URI"),
        (f"connections:\n  a: {SECRET}\n", "the connection a has no conn_type"),
        (f"connections:\n  a: http://{SECRET}:b@c:d\n", "the connection a has no conn_type"),
        (f"connections:\n  a: {{conn_type: http, secret: {SECRET}}}\n", "or a mapping with conn_type, "),
        (
            f"connections:\n  a: {{conn_type: http, port: {SECRET}}}\n",
            "the port of the connection a is no whole number",
        ),
    ],
)
def test_a_fault_is_one_line_without_a_value(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError) as raised:
        read_seed(seed_file(tmp_path, text))
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_seed_does_not_show_its_values(tmp_path: Path) -> None:
    found = read_seed(seed_file(tmp_path, f"variables:\n  a: {SECRET}\n"))
    assert repr(found) == "Seed(1 variables and 0 connections)"


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_seed(tmp_path / "none.yaml").summary() == "0 variables and 0 connections"


def test_the_file_beside_the_dags_comes_before_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path / "checkout")
    dags = tmp_path / "dags"
    dags.mkdir()
    assert find_seed(dags) == find_seed(None) == tmp_path / "checkout" / "airflow_local.yaml"
    own = seed_file(dags, "")
    assert find_seed(dags) == own
