"""What the command line tells the local AWS API."""

from __future__ import annotations

from dataclasses import dataclass

HOST = "127.0.0.1"
# Clients must say localhost: with 127.0.0.1 SAM CLI takes the template's URL apart wrongly and finds no bucket.
CLIENT_HOST = "localhost"


@dataclass(frozen=True, kw_only=True)
class Address:
    host: str
    port: int

    @staticmethod
    def parse(text: str) -> Address:
        """`host:port`. Raises ValueError."""
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return Address(host=host, port=int(port))


@dataclass(frozen=True, kw_only=True)
class Settings:
    port: int
    database: Address
    broker: Address
    account: str

    @property
    def endpoint(self) -> str:
        return f"http://{CLIENT_HOST}:{self.port}"
