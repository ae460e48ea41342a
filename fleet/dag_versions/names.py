"""The names of bundles, and of a bundle's objects in the bucket."""

from __future__ import annotations

import re

# The folder of the image, in the list of bundles. Airflow knows it by the second name, also without any list.
IMAGE, AIRFLOWS_NAME = "image", "dags-folder"
PREFIX = "bundles"
# Part of keys, of paths and of Airflow's configuration.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


class BadNames(ValueError):
    """The list of bundles cannot be used. The message is one line."""


def parse_names(text: str) -> tuple[str, ...]:
    """Return the bundles in a list that commas separate, such as `image,dags`; an empty one is `image`.

    Raises BadNames.
    """
    names = tuple(part.strip() for part in text.split(",")) if text.strip() else (IMAGE,)
    for name in names:
        if not _NAME.fullmatch(name) or name == AIRFLOWS_NAME:
            raise BadNames(f"{name!r} is no name of a bundle: a letter, then letters, digits and dashes, all small")
    if len(set(names)) < len(names):
        raise BadNames("a bundle is named twice")
    return names


def pointer_key(bundle: str) -> str:
    return f"{PREFIX}/{bundle}/current.json"


def manifest_key(bundle: str, version: str) -> str:
    return f"{manifests(bundle)}{version}"


def object_key(bundle: str, sha256: str) -> str:
    return f"{objects(bundle)}{sha256}"


def manifests(bundle: str) -> str:
    """Return how the keys of the bundle's manifests begin."""
    return f"{PREFIX}/{bundle}/manifests/"


def objects(bundle: str) -> str:
    """Return how the keys of the bundle's files begin."""
    return f"{PREFIX}/{bundle}/objects/"
