"""A Redis with the users of the template, for tests."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import redis

from fleet import access
from local.aws.broker_users import BrokerUser, BrokerUsers
from local.servers.redis import Redis

POOLS = {"worker": ("default",), "sql": ("sql", "reports")}
GROUP = "brokers"


@dataclass(frozen=True, kw_only=True)
class BrokerWithUsers:
    """The server; `administrator` may do everything, as the only user of earlier releases could."""

    server: Redis
    users: BrokerUsers
    administrator: redis.Redis

    def url(self, user: str) -> str:
        """Return the address with the user's credentials."""
        return f"redis://{user}:{password_of(user)}@{self.server.host}:{self.server.port}/0"

    def client(self, user: str) -> redis.Redis:
        """Return a client of the user."""
        return redis.Redis.from_url(self.url(user), protocol=2)  # a subscription is answered like any command

    def denials(self) -> set[tuple[str, str, str]]:
        """Return (user, kind, what) of each refusal, except of the name of the client's library, which no one needs."""
        entries = self.administrator.acl_log()
        found = {(str(entry["username"]), str(entry["reason"]), str(entry["object"])) for entry in entries}
        return {denial for denial in found if denial[1:] != ("command", "client")}


def password_of(user: str) -> str:
    """Return the user's password."""
    return f"password-of-{user}"


@contextlib.contextmanager
def broker_with_users() -> Iterator[BrokerWithUsers]:
    """Run a Redis to which the users are given as the local AWS API gives them."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, contextlib.ExitStack() as stack:
        server = Redis(directory, has_users=True).start()
        stack.callback(server.stop)
        users = BrokerUsers(server.url)
        strings = {access.DEFAULT: access.NOTHING}
        strings |= {user.name: user.access_string() for user in access.users(POOLS)}
        for name, string in strings.items():
            users.put(BrokerUser(id=name, name=name, access_string=string, passwords=(password_of(name),)))
        users.put_group(GROUP, list(strings))
        users.attach([GROUP])
        client = stack.enter_context(server.client())
        yield BrokerWithUsers(server=server, users=users, administrator=client)
