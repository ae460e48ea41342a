"""What the fixtures `redis_server` and `postgres_server` of the integration tests yield."""

from dataclasses import dataclass

import redis

from local.servers.postgres import Postgres


@dataclass(frozen=True, kw_only=True)
class RedisServer:
    """A running Redis: tests leave no keys behind, or flush the database before they begin."""

    host: str
    port: int
    url: str
    client: redis.Redis


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A running Postgres with one database; `server.provision` makes further ones."""

    host: str
    port: int
    user: str
    password: str
    database: str
    url: str
    server: Postgres
