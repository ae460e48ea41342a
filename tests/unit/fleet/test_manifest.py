"""A manifest names a version by its content, and nothing that it holds leads out of the bundle's folder."""

import json

import pytest

from fleet.dag_versions.manifest import FORMAT, MAX_FILE_BYTES, BadManifest, File, Manifest, digest, parse_manifest

EMPTY = digest(b"")
FILE = File(sha256=EMPTY, size=0)


def written(files: object) -> tuple[bytes, str]:
    raw = json.dumps({"format": FORMAT, "files": files}).encode()
    return raw, digest(raw)


def test_equal_files_are_the_same_version_in_any_order() -> None:
    files = {"b.py": FILE, "a/c.py": File(sha256=EMPTY, size=0, is_executable=True)}
    version = Manifest(files=files).version
    assert Manifest(files=dict(reversed(files.items()))).version == version
    assert Manifest(files={**files, "b.py": File(sha256=digest(b"1"), size=1)}).version != version
    assert Manifest(files={**files, "a/c.py": FILE}).version != version


def test_a_manifest_is_read_as_it_was_written() -> None:
    made = Manifest(files={"b.py": FILE, "bin/run": File(sha256=EMPTY, size=0, is_executable=True)})
    assert parse_manifest(made.to_bytes(), version=made.version) == made


@pytest.mark.parametrize(
    "path",
    ["/a.py", "../a.py", "a/../../b.py", "./a.py", "a//b.py", "", "a/", "a\0.py", "a\n.py", "x" * 256, "\udc80.py"],
)
def test_a_path_that_is_none_below_the_folder_is_refused(path: str) -> None:
    raw, version = written({path: [EMPTY, 0]})
    with pytest.raises(BadManifest, match="name"):
        parse_manifest(raw, version=version)


@pytest.mark.parametrize(
    "entry",
    [[], [EMPTY], [EMPTY, -1], [EMPTY, True], [EMPTY.upper(), 0], ["a", 0], [EMPTY, 0, "y"], [EMPTY, 0, "x", "x"], 5],
)
def test_an_entry_that_is_no_file_is_refused(entry: object) -> None:
    raw, version = written({"a.py": entry})
    with pytest.raises(BadManifest, match="cannot be read"):
        parse_manifest(raw, version=version)


@pytest.mark.parametrize("files", [{"a": [EMPTY, 0], "a/b": [EMPTY, 0]}, {"a.py": [EMPTY, MAX_FILE_BYTES + 1]}, [1]])
def test_files_that_cannot_lie_in_one_folder_are_refused(files: object) -> None:
    raw, version = written(files)
    with pytest.raises(BadManifest):
        parse_manifest(raw, version=version)


def test_bytes_that_are_not_those_of_the_version_are_refused() -> None:
    raw, version = written({"a.py": [EMPTY, 0]})
    with pytest.raises(BadManifest, match="damaged"):
        parse_manifest(raw.replace(b"a.py", b"b.py"), version=version)


def test_a_later_format_is_refused_by_its_number() -> None:
    raw = json.dumps({"format": 2, "files": {}}).encode()
    with pytest.raises(BadManifest, match="format 2"):
        parse_manifest(raw, version=digest(raw))
