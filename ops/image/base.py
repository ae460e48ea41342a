"""The base image by its digest: read it in the Dockerfile, and renew it from the image's registry."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from project.errors import CommandError
from project.paths import ROOT

DOCKERFILE = ROOT / "airflow_image" / "Dockerfile"
BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
PINNED = re.compile(r"\S+@sha256:[0-9a-f]{64}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
DOCKER_HUB, DOCKER_HUB_API = "docker.io", "registry-1.docker.io"
# The digest of an index covers every architecture; a registry answers with the first of these that it has.
ACCEPT = ", ".join(
    f"application/vnd.{each}+json"
    for each in (
        "oci.image.index.v1",
        "docker.distribution.manifest.list.v2",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.v2",
    )
)
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
TIMEOUT_S = 30.0
LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A tag of a repository in a registry."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read registry/repository:tag, with a digest or without. Raises CommandError."""
        found = re.fullmatch(
            r"([a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d+)?)/([a-z0-9._/-]+):([\w.-]{1,128})(?:@sha256:[0-9a-f]{64})?", text
        )
        if found is None:
            raise CommandError(f"{text!r} is not REGISTRY/REPOSITORY:TAG: set BASE to one")
        return cls(registry=found[1], repository=found[2], tag=found[3])

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"

    @property
    def manifest(self) -> str:
        """Return the address of the tag's manifest. A registry on this machine speaks HTTP, any other HTTPS."""
        host = DOCKER_HUB_API if self.registry == DOCKER_HUB else self.registry
        scheme = "http" if host.partition(":")[0] in LOOPBACK else "https"
        return f"{scheme}://{host}/v2/{self.repository}/manifests/{self.tag}"


def read_base(dockerfile: Path = DOCKERFILE) -> str:
    """Return the base image that the Dockerfile names."""
    found = BASE.search(dockerfile.read_text())
    if found is None:
        raise CommandError(f"{dockerfile} has no line ARG BASE=...")
    return found[1]


def require_digest(base: str) -> None:
    """Raise CommandError when an image is named by a tag alone: two builds could then differ."""
    if not PINNED.fullmatch(base):
        raise CommandError(
            f"the base image {base} has no digest, so it may change between two builds: run make renew-base, commit "
            "the Dockerfile and build again; for an image that is not released, set ANY_BASE=1"
        )


def resolve(reference: Reference) -> str:
    """Return the digest that the tag has now. Raises CommandError when the registry does not give it."""
    try:
        with httpx.Client(timeout=TIMEOUT_S, headers={"Accept": ACCEPT}) as client:
            answer = client.get(reference.manifest)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                token = _token(client, answer, reference)
                answer = client.get(reference.manifest, headers={"Authorization": f"Bearer {token}"})
            answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        what = (
            f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        )
        raise CommandError(f"the registry did not give the manifest of {reference.name} ({what})") from None
    # Computed here: what the registry merely says is not trusted.
    digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    said = answer.headers.get("Docker-Content-Digest", digest)
    if said != digest:
        raise CommandError(f"the manifest of {reference.name} is {digest}, but its registry says {said}: try again")
    return digest


def _token(client: httpx.Client, answer: httpx.Response, reference: Reference) -> str:
    """Return a token for anyone to pull, from where the registry's challenge says."""
    challenge = dict(CHALLENGE.findall(answer.headers["WWW-Authenticate"]))
    realm = httpx.URL(challenge["realm"])
    if realm.scheme != "https" and not (realm.host in LOOPBACK and reference.manifest.startswith("http:")):
        raise ValueError(realm.scheme)
    asked = {"scope": f"repository:{reference.repository}:pull"}
    if "service" in challenge:
        asked["service"] = challenge["service"]
    given = client.get(realm, params=asked).raise_for_status().json()
    return str(given.get("token") or given["access_token"])


def renew(dockerfile: Path, *, base: str | None = None) -> str:
    """Write the present digest of the Dockerfile's base, or of another `base`, and return the whole name."""
    reference = Reference.parse(base or read_base(dockerfile))
    pinned = f"{reference.name}@{resolve(reference)}"
    text = dockerfile.read_text()
    dockerfile.write_text(BASE.sub(lambda _: f"ARG BASE={pinned}", text, count=1))
    return pinned


def main(arguments: Sequence[str]) -> int:
    """Renew the base. Return exit code 0 when the Dockerfile names the present digest, else 1."""
    parser = argparse.ArgumentParser(prog="python -m ops.image.base", description=__doc__)
    parser.add_argument("--base", help="another image, as REGISTRY/REPOSITORY:TAG")
    parser.add_argument("--dockerfile", type=Path, default=DOCKERFILE)
    options = parser.parse_args(arguments)
    try:
        print(f"image: the base is {renew(options.dockerfile, base=options.base)}")
    except CommandError as error:
        sys.stderr.write(f"image: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
