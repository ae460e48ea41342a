"""Build the image, check its size against the budget, write its bill of materials."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from ops.image import authorities, builders
from ops.image.archive import open_archive
from ops.image.base import DOCKERFILE, read_base, require_digest
from ops.image.revision import Revision, read_revision
from project.errors import CommandError
from project.paths import ROOT, STATE

AUTHORITIES = DOCKERFILE.with_name("authorities") / "rds.pem"
SBOM = "/opt/airflow-on-ecs/sbom.cdx.json"
MEGABYTE = 1_000_000
# Fargate caches no image: every starting worker waits for these bytes.
SIZE_BUDGET_MB = 230


def main(arguments: list[str]) -> int:
    """Build the image. Return exit code 0 when it is built and within its budget, else 1."""
    given = _parse(arguments)
    try:
        if not given.any_base:
            require_digest(given.base or read_base())
        revision = read_revision(ROOT, version=given.version)
        tag = given.tag or revision.version
        reference = f"{given.repository}:{tag}"
        builder = builders.find_builder(given.builder)
        known = authorities.write(given.authorities, AUTHORITIES)
        print(
            f"image: building {reference} with {builder.name}, with {known} certificate authorities for the database",
            flush=True,
        )
        builders.build(
            builder,
            builders.BuildRequest(
                context=ROOT,
                dockerfile=DOCKERFILE,
                reference=reference,
                arguments=_build_arguments(revision, base=given.base),
                options=tuple(given.options),
            ),
        )
        return _report_size(builder, reference, sbom=given.output / f"airflow-on-ecs-{tag}.cdx.json")
    except CommandError as error:
        sys.stderr.write(f"image: {error}\n")
        return 1


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ops.image", description=__doc__)
    parser.add_argument("--version", help="version that the version check compares; default: the git revision")
    parser.add_argument("--tag", help="default: the version")
    parser.add_argument("--repository", default="airflow-on-ecs", help="default: %(default)s")
    parser.add_argument("--base", help="base image by its digest, instead of the Dockerfile's own")
    parser.add_argument("--any-base", action="store_true", help="a trial: accept a base without a digest")
    parser.add_argument(
        "--authorities",
        default=authorities.PUBLISHED,
        help="certificate authorities of the database; default: %(default)s",
    )
    parser.add_argument(
        "--builder", choices=[builder.name for builder in builders.BUILDERS], help="default: the first that works here"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the bill of materials")
    parser.add_argument("options", nargs="*", help="after --: further options for the builder")
    return parser.parse_args(arguments)


def _build_arguments(revision: Revision, *, base: str | None) -> dict[str, str]:
    arguments = {"IMAGE_VERSION": revision.version, "REVISION": revision.commit, "SOURCE": revision.source}
    return {**arguments, "BASE": base} if base else arguments


def _report_size(builder: builders.Builder, reference: str, *, sbom: Path) -> int:
    """Print what was built; return 1 when it is too large, else 0."""
    STATE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        saved = Path(folder, "image.tar")
        builders.save(builder, reference, saved)
        with open_archive(saved) as archive:
            materials, megabytes = archive.read(SBOM), archive.compressed_bytes() / MEGABYTE
    sbom.parent.mkdir(parents=True, exist_ok=True)
    sbom.write_bytes(materials)
    print(f"image: {len(json.loads(materials)['components'])} packages are listed in {sbom}")
    print(f"image: {reference} is {megabytes:.0f} MB compressed, its budget is {SIZE_BUDGET_MB} MB")
    return 0 if megabytes <= SIZE_BUDGET_MB else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
