"""Fetch the authorities that sign RDS's certificates, for the image's build."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
from cryptography import x509

from project.errors import CommandError

# The bundle of all public regions, as AWS publishes it; GovCloud and China have their own addresses.
PUBLISHED = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
FETCH_TIMEOUT_S = 30.0


def write(source: str, target: Path) -> int:
    """Write the certificates at `source`, an https address or a file, to `target`; return their number.

    Raises CommandError when they cannot be read, or when one of them is not an authority's.
    """
    content = _read(source)
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise CommandError(f"{source} is not a file of certificates: set AUTHORITIES to a PEM file") from None
    if not all(_is_authority(certificate) for certificate in found):
        raise CommandError(f"{source} holds a certificate that is not an authority's: remove it")
    if all(certificate.not_valid_after_utc < datetime.now(UTC) for certificate in found):
        raise CommandError(f"{source} holds only certificates that have expired: get a newer file")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return len(found)


def _read(source: str) -> bytes:
    try:
        if not source.startswith("https://"):
            return Path(source).read_bytes()
        return httpx.get(source, timeout=FETCH_TIMEOUT_S).raise_for_status().content
    except (OSError, httpx.HTTPError) as error:
        reason = type(error).__name__
        raise CommandError(f"cannot read {source} ({reason}): set AUTHORITIES=FILE to a copy of it") from None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
