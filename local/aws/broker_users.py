"""ElastiCache's users, and the Redis that obeys them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import redis

ADMINISTRATOR = "administrator"  # the stack's own user, unknown to ElastiCache
DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class BrokerUser:
    """A user as ElastiCache keeps it."""

    id: str
    name: str
    access_string: str
    passwords: tuple[str, ...]


class BrokerUsers:
    """Users, their groups, and the groups that the Redis at `url` has; without an address nothing is applied.

    Redis knows the users of its groups only, as on AWS.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._users: dict[str, BrokerUser] = {}
        self._groups: dict[str, tuple[str, ...]] = {}
        self._attached: set[str] = set()
        self._applied: dict[str, BrokerUser] = {}

    def put(self, user: BrokerUser) -> None:
        """Create or replace a user. Raises redis.RedisError when Redis refuses its rules."""
        before = self._users
        self._users = {**before, user.id: user}
        try:
            self._apply()
        except redis.RedisError:
            self._users = before
            raise

    def change(self, user_id: str, *, access_string: str | None, passwords: Sequence[str]) -> BrokerUser:
        """Change what is given. Raises KeyError for an unknown user, redis.RedisError when Redis refuses."""
        user = self._users[user_id]
        user = replace(
            user, access_string=access_string or user.access_string, passwords=tuple(passwords) or user.passwords
        )
        self.put(user)
        return user

    def find(self, user_id: str) -> BrokerUser:
        """Return a user. Raises KeyError."""
        return self._users[user_id]

    def all(self) -> tuple[BrokerUser, ...]:
        """Return every user."""
        return tuple(self._users.values())

    def remove(self, user_id: str) -> BrokerUser:
        """Remove a user, also from its groups. Raises KeyError."""
        user = self._users.pop(user_id)
        self._groups = {name: tuple(u for u in ids if u != user_id) for name, ids in self._groups.items()}
        self._apply()
        return user

    def put_group(self, name: str, user_ids: Sequence[str]) -> None:
        """Create or replace a group. Raises KeyError for an unknown user."""
        for user_id in user_ids:
            self.find(user_id)
        self._groups[name] = tuple(user_ids)
        self._apply()

    def group(self, name: str) -> tuple[str, ...]:
        """Return the users' ids. Raises KeyError."""
        return self._groups[name]

    def groups_of(self, user_id: str) -> list[str]:
        """Return the names of the groups that have the user."""
        return [name for name, ids in self._groups.items() if user_id in ids]

    def remove_group(self, name: str) -> None:
        """Remove a group. Raises KeyError."""
        del self._groups[name]
        self._attached.discard(name)
        self._apply()

    def attach(self, names: Sequence[str]) -> None:
        """Let Redis obey the groups. Raises KeyError for an unknown one."""
        for name in names:
            self.group(name)
        self._attached |= set(names)
        self._apply()

    def _apply(self) -> None:
        """Give Redis the users that changed. It forgets the others, except the administrator and `default`."""
        if self._url is None:
            return
        ids = {user_id for name in self._attached for user_id in self._groups[name]}
        wanted = {user.name: user for user in self._users.values() if user.id in ids}
        changed = [user for user in wanted.values() if self._applied.get(user.name) != user]
        gone = [name for name in self._applied if name not in wanted]
        if not changed and not gone:
            return
        with redis.Redis.from_url(self._url) as client:
            for user in changed:
                passwords = (f">{password}" for password in user.passwords)
                client.execute_command("ACL", "SETUSER", user.name, "reset", *passwords, *user.access_string.split())
            for name in gone:
                if name == DEFAULT:
                    client.execute_command("ACL", "SETUSER", DEFAULT, "reset")
                else:
                    client.acl_deluser(name)
            client.acl_save()
        self._applied = wanted
