"""The addresses of Airflow's database, one for each driver, and the verification of its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

IMAGE = Path(__file__).resolve().parents[1]
VERIFY = "verify-full"  # libpq's mode: the certificate is signed by a known authority, and for this host
VARIABLES = tuple(f"DATABASE_{name}" for name in ("HOST", "PORT", "NAME", "SSLMODE", "AUTHORITIES", "USER", "PASSWORD"))

Given = Mapping[str, str]


def sync_url(given: Given) -> str:
    """Return the address as SQLAlchemy reads it for psycopg2."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in tls(given).items())
    return f"postgresql+psycopg2://{_place(given)}?{query}"


def async_url(given: Given) -> str:
    """Return SQLAlchemy's address for asyncpg, which takes TLS settings only as an argument (roles.database_async)."""
    return f"postgresql+asyncpg://{_place(given)}"


def tls(given: Given) -> dict[str, str]:
    """Return libpq's parameters for TLS."""
    mode = given["DATABASE_SSLMODE"]
    return {"sslmode": mode, "sslrootcert": authorities(given)} if mode == VERIFY else {"sslmode": mode}


def authorities(given: Given) -> str:
    """Return the file of the authorities' certificates: an absolute path, or one below the image's own folder."""
    return str(IMAGE / given["DATABASE_AUTHORITIES"])


def _place(given: Given) -> str:
    user, password, name = (quote(given[f"DATABASE_{part}"], safe="") for part in ("USER", "PASSWORD", "NAME"))
    return f"{user}:{password}@{given['DATABASE_HOST']}:{given['DATABASE_PORT']}/{name}"
