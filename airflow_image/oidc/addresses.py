"""Tells where an issuer may be. It imports little: every container reads addresses, and few ask there."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK = frozenset(("127.0.0.1", "localhost"))


def is_address(url: str) -> bool:
    """Return whether an issuer, or its keys, may be there: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or "@" in parts.netloc or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


def may_name(issuer: str, url: str) -> bool:
    """Return whether this issuer's metadata may name the address: one on another machine names none on this one."""
    return is_address(url.partition("?")[0]) and (url.startswith("https:") or issuer.startswith("http:"))
