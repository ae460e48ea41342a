"""Which installed packages DAG files import."""

from pathlib import Path

import pytest

from agent.runner.imports import Import, imports_of, statements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import pandas as pd", {"pandas": set()}),
        ("import a.b.c, d as e ,f  # g", {"a.b.c": set(), "d": set(), "f": set()}),
        ("from a.b import c, d as e", {"a.b": {"c", "d"}}),
        ("from a import (\n    b,\n    c as d,  # why\n)\n", {"a": {"b", "c"}}),
        ("from a import *", {"a": set()}),
        ("def f():\n\timport a; import b", {"a": set()}),
        ("from . import a\nfrom .b import c", {}),
        ("# import a\nx = 'import b'\nimported = 1\nfrom_ = 2", {}),
        ("import a\nimport a\nfrom a import b\nfrom a import c", {"a": {"b", "c"}}),
        ("try:\n    import a\nexcept ImportError:\n    pass", {"a": set()}),
    ],
)
def test_the_imports_of_a_file_are_found(text: str, expected: dict[str, set[str]]) -> None:
    assert statements(text.encode()) == expected


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Make a folder of installed packages."""
    folder = tmp_path / "lib" / "site-packages"
    for name in ("common", "rare"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    return folder


def test_only_installed_packages_count_and_what_most_files_import_comes_first(site: Path, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    (dags / "below").mkdir(parents=True)
    (dags / "helper.py").write_text("import rare.part\nimport json\nimport missing\n")
    (dags / "one.py").write_text("import helper\nfrom common import a\n")
    (dags / "below" / "two.py").write_text("from common import b\nimport subprocess\n")
    (dags / "notes.txt").write_text("import rare\n")
    found = imports_of([dags], path=["", str(dags), str(site)])
    assert found == [Import(module="common", names=("a", "b")), Import(module="rare.part", names=())]


def test_an_import_is_what_a_file_would_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import warnings\nwarnings.warn('old')\nvalue, made = 1, []\n"
        "def __getattr__(name):\n    if name == 'lazy':\n        made.append(name)\n        return name\n"
        "    raise AttributeError(name)\n"
    )
    (package / "part.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    Import(module="package_of_a_test", names=("value", "lazy", "part", "missing"))()
    import package_of_a_test  # type: ignore[import-not-found]

    assert package_of_a_test.made == ["lazy"]
    assert package_of_a_test.part.__name__ == "package_of_a_test.part"


def test_a_folder_that_is_missing_imports_nothing(site: Path, tmp_path: Path) -> None:
    assert imports_of([tmp_path / "none"], path=[str(site)]) == []
