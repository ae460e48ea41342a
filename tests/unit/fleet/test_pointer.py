"""The pointer says which version is current, and which were before."""

import json

import pytest

from fleet.dag_versions.manifest import digest
from fleet.dag_versions.names import BadNames, parse_names
from fleet.dag_versions.pointer import MAX_ENTRIES, BadPointer, Entry, Pointer, parse_pointer

VERSION = digest(b"1")


def entry(number: int) -> Entry:
    return Entry(version=digest(str(number).encode()), at=float(number), files=number)


def test_the_newest_entry_is_current_and_the_oldest_are_dropped() -> None:
    pointer = Pointer()
    assert pointer.current is None
    for number in range(MAX_ENTRIES + 5):
        pointer = pointer.moved_to(entry(number))
    assert pointer.current == entry(MAX_ENTRIES + 4)
    assert len(pointer.entries) == MAX_ENTRIES
    assert pointer.entries[-1] == entry(5)


@pytest.mark.parametrize(
    ("since", "kept"),
    [(9.0, {4}), (4.0, {4}), (3.9, {4, 3}), (2.9, {4, 3, 2}), (0.0, {4, 3, 2, 1})],  # number 3 was replaced at 4.0
)
def test_a_version_that_was_current_lately_is_kept(since: float, kept: set[int]) -> None:
    pointer = Pointer(entries=tuple(entry(number) for number in (4, 3, 2, 1)))
    assert pointer.kept(1, (), since=since) == {entry(number).version for number in kept}
    assert pointer.kept(1, ["x"], since=since) == {*(entry(number).version for number in kept), "x"}


def test_a_pointer_is_read_as_it_was_written() -> None:
    pointer = Pointer(entries=(entry(2), entry(1)), cleaning_until=5.0)
    assert parse_pointer(pointer.to_bytes()) == pointer


@pytest.mark.parametrize(
    "record",
    [
        {},
        [],
        {"format": 2, "entries": [], "cleaning_until": 0},
        {"format": 1, "entries": [{"version": "a", "at": 0, "files": 0}], "cleaning_until": 0},
        {"format": 1, "entries": [{"version": VERSION, "at": -1, "files": 0}], "cleaning_until": 0},
        {"format": 1, "entries": [{"version": VERSION, "at": 0}], "cleaning_until": 0},
        {"format": 1, "entries": [], "cleaning_until": "x"},
        {"format": 1, "entries": 5, "cleaning_until": 0},
    ],
)
def test_what_is_no_pointer_is_refused(record: object) -> None:
    with pytest.raises(BadPointer):
        parse_pointer(json.dumps(record).encode())


@pytest.mark.parametrize(
    ("text", "found"), [("", ("image",)), ("image", ("image",)), ("image, dags", ("image", "dags")), ("a", ("a",))]
)
def test_bundles_are_named_in_a_list(text: str, found: tuple[str, ...]) -> None:
    assert parse_names(text) == found


@pytest.mark.parametrize("text", ["A", "a,a", "a,,b", "dags-folder", "../x", "a/b", "1a", ","])
def test_a_name_that_cannot_be_a_bundle_is_refused(text: str) -> None:
    with pytest.raises(BadNames):
        parse_names(text)
