"""The users of the broker's Redis: who may call which commands on which keys and channels.

The rules are those of Redis 6.2, which ElastiCache's access strings follow. A user may call each of its commands on
each of its keys: who may read one and write another may write both. So containers read orders and the other members
with a second user, who may not write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fleet import member, registry
from fleet.pools import PRIORITY_STEPS, lists_of

DEFAULT = "default"  # the user of a client that names none
SCHEDULER = "scheduler"
WEBSERVER = "webserver"
DAG_PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
FORECASTER = "forecaster"
FLOWER = "flower"
EVENTS = "events"
READER = "reader"
PAGE = "page"
AUTOSCALER = "autoscaler"
VERSION_CHECK = "version-check"
SLEEPER = "sleeper"

# A user that may do nothing. ElastiCache requires that a user of this name exists.
NOTHING = "off -@all"
# What the only user of earlier releases could do.
EVERYTHING = "on ~* &* +@all"

# Names of kombu's Redis transport and of Celery.
BINDINGS = "_kombu.binding."
RESULTS = "celery-task-meta-*"
REMOTE_CONTROL = "*.celery.pidbox"  # bindings, and the queues of replies
COMMANDS_CHANNEL = "/0.celery.pidbox"
EVENTS_CHANNELS = "/0.celeryev/*"  # a pattern to publish to, and literally the one that is subscribed to
EVENTS_QUEUES = "celeryev*"
EVENTS_BINDING = f"{BINDINGS}celeryev"
# How the keys of signatures begin that machines have signed in with: they expire.
SIGNATURE_PREFIX = "machines:signature:"
FLOWERS_OWN = "@flower"  # in place of a pool's name: Flower's library restores messages, too

_TRANSACTION = ("multi", "exec")
_READ_MEMBERS = ("time", "zrange", "zscan", "mget")
_REPORT = ("time", "set", "del", "zadd", "zrem", "zremrangebyscore", *_TRANSACTION)
_SUBSCRIBE = ("subscribe", "unsubscribe", "psubscribe", "punsubscribe")
# kombu binds queues to exchanges, reads bindings and pushes messages.
_PUBLISH = ("sadd", "smembers", "exists", "llen", "lpush", "publish")
_CONSUME = (*_PUBLISH, *_SUBSCRIBE, "srem", "brpop", "rpush", "del", *_TRANSACTION)
# kombu notes unacknowledged messages, and restores them under a lock that scripts extend and release.
_ACKNOWLEDGE = (
    *("hset", "hget", "hdel", "zadd", "zrem", "zrevrangebyscore"),
    *("set", "get", "evalsha", "script|load", "watch", "unwatch"),
)
# Characters that mean something in a pattern or end it.
_SPECIAL = frozenset("*?[]\\ \t\n\r\"'")


@dataclass(frozen=True, kw_only=True)
class User:
    """A user with a password; `keys` and `channels` are glob patterns."""

    name: str
    commands: tuple[str, ...]
    keys: tuple[str, ...]
    channels: tuple[str, ...] = ()

    def access_string(self) -> str:
        """Return the rules as Redis 6.2 and ElastiCache read them."""
        keys = (f"~{key}" for key in self.keys)
        channels = (f"&{channel}" for channel in self.channels)
        commands = (f"+{command}" for command in self.commands)
        # Without `resetchannels` Redis 6.2 allows every channel.
        return " ".join(("on", *keys, "resetchannels", *channels, "-@all", *commands))


def worker(pool: str) -> str:
    """Return the name of the user of a pool's workers."""
    return f"worker-{pool}"


def unacked_keys(pool: str) -> tuple[str, str, str]:
    """Return kombu's keys for a pool's unacknowledged messages: the hash of messages, their index, its lock.

    Each pool has its own, because a message holds its task's token.
    """
    return f"unacked:{pool}", f"unacked_index:{pool}", f"unacked_mutex:{pool}"


def users(pools: Mapping[str, Sequence[str]]) -> tuple[User, ...]:
    """Return every user but `default`. `pools`: the queues of each pool. Raises ValueError for unusable queue names."""
    _check(pools)
    queues = tuple(queue for own in pools.values() for queue in own)
    return (
        _scheduler(queues),
        *(_worker(pool, tuple(own)) for pool, own in pools.items()),
        _webserver(),
        *(_reporter(role) for role in (DAG_PROCESSOR, TRIGGERER)),
        _forecaster(),
        _flower(),
        _events(),
        _reader(),
        _page(queues),
        _autoscaler(queues, tuple(pools)),
        _version_check(),
        _sleeper(queues),
    )


def _check(pools: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError for a queue that a pattern cannot name, or that the patterns of another pool match."""
    for pool, own in pools.items():
        for queue in own:
            if not queue or _SPECIAL & set(queue):
                raise ValueError(f"queue {queue!r} of pool {pool}: its name has a character that patterns use")
        patterns = _queue_keys(own)
        others = (queue for queues in pools.values() for queue in queues if queue not in own)
        for queue in others:
            if any(fnmatchcase(key, pattern) for key in lists_of(queue) for pattern in patterns):
                raise ValueError(f"queue {queue} is named like a list of pool {pool}: choose another name")


def _queue_keys(queues: Iterable[str]) -> tuple[str, ...]:
    """Return patterns of the queues' lists. A `?` stands for each of the separator's two control characters."""
    return tuple(key for queue in queues for key in (queue, *(f"{queue}??{step}" for step in PRIORITY_STEPS)))


def _bindings(queues: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{BINDINGS}{queue}" for queue in queues)


def _commands(*groups: Iterable[str]) -> tuple[str, ...]:
    """Return each command once, sorted, and `ping`, which every client sends."""
    return tuple(sorted({"ping", *(command for group in groups for command in group)}))


def _own_record(role: str) -> tuple[str, ...]:
    """Return the keys to which a container of the role reports itself."""
    return registry.MEMBERS_KEY, registry.member_key(member.member_id("*", role))


def _every_record() -> tuple[str, ...]:
    return registry.MEMBERS_KEY, registry.member_key("*")


def _scheduler(queues: tuple[str, ...]) -> User:
    return User(
        name=SCHEDULER,
        # It reads which of its messages still wait.
        commands=_commands(_PUBLISH, ("get", "mget", "del", "lrange"), _REPORT),
        keys=(
            *_queue_keys(queues),
            *_bindings(queues),
            f"{BINDINGS}celery.pidbox",
            EVENTS_BINDING,
            RESULTS,
            registry.waiting_key("*"),
            registry.BUNDLES_KEY,
            *_own_record(member.SCHEDULER),
        ),
        channels=(COMMANDS_CHANNEL,),
    )


def _worker(pool: str, queues: tuple[str, ...]) -> User:
    return User(
        name=worker(pool),
        # `expire` is for the ends of tasks.
        commands=_commands(_CONSUME, _ACKNOWLEDGE, _REPORT, ("expire",)),
        keys=(
            *_queue_keys(queues),
            *_bindings(queues),
            *unacked_keys(pool),
            *_queue_keys((REMOTE_CONTROL,)),
            EVENTS_BINDING,
            RESULTS,
            registry.peaks_key(pool),
            registry.ends_key(pool),
            *_own_record(member.WORKER),
        ),
        channels=(COMMANDS_CHANNEL, EVENTS_CHANNELS),
    )


def _reporter(role: str) -> User:
    return User(name=role, commands=_commands(_REPORT), keys=_own_record(role))


def _webserver() -> User:
    """Let the webserver remember the signatures that machines have used."""
    keys = (*_own_record(member.WEBSERVER), f"{SIGNATURE_PREFIX}*")
    return User(name=WEBSERVER, commands=_commands(_REPORT), keys=keys)


def _forecaster() -> User:
    """Let the forecaster write forecasts and its report, and add to what the days cost unless another one has."""
    keys = (registry.forecast_key("*"), registry.WORK_KEY, registry.costs_key("*"), *_own_record(member.FORECASTER))
    return User(name=FORECASTER, commands=_commands(_REPORT, ("get", "mget", "watch", "unwatch")), keys=keys)


def _flower() -> User:
    """Let Flower listen to events and ask workers. The channel by which it asks is also the one of commands."""
    return User(
        name=FLOWER,
        commands=_commands(_CONSUME, _ACKNOWLEDGE, _REPORT),
        keys=(
            *_queue_keys((REMOTE_CONTROL,)),
            EVENTS_BINDING,
            EVENTS_QUEUES,
            *unacked_keys(FLOWERS_OWN),
            *_own_record(member.FLOWER),
        ),
        channels=(COMMANDS_CHANNEL, EVENTS_CHANNELS),
    )


def _events() -> User:
    keys = (registry.EVENTS_KEY, *_own_record(member.EVENTS))
    return User(name=EVENTS, commands=_commands(_REPORT, ("get",)), keys=keys)


def _reader() -> User:
    """Let containers read orders, the other members, and how many workers a pool had."""
    keys = (*_every_record(), registry.order_key("*"), registry.given_up_key("*"), registry.history_key("*"))
    return User(name=READER, commands=_commands(_READ_MEMBERS, ("get", "hvals")), keys=keys)


def _page(queues: tuple[str, ...]) -> User:
    """Let the Fleet page read the whole registry, and the lengths of the queues."""
    return User(
        name=PAGE,
        commands=_commands(_READ_MEMBERS, ("get", "llen", "lrange", "hvals", "hmget")),
        keys=(*_queue_keys(queues), "fleet:*"),
    )


def _autoscaler(queues: tuple[str, ...], pools: tuple[str, ...]) -> User:
    return User(
        name=AUTOSCALER,
        commands=_commands(
            _READ_MEMBERS,
            # Queues, unacknowledged messages, and the names of all lists.
            ("llen", "lindex", "eval", "hlen", "scan"),
            # Orders, memory, decisions and history.
            ("get", "set", "lpush", "ltrim", "hset", *_TRANSACTION),
            # Names that no container can have reported.
            ("zremrangebyscore",),
        ),
        keys=(
            *_queue_keys(queues),
            *(unacked_keys(pool)[0] for pool in pools),
            *_every_record(),
            *(key("*") for key in (registry.order_key, registry.scaler_key, registry.decisions_key)),
            *(key("*") for key in (registry.history_key, registry.forecast_key, registry.given_up_key)),
        ),
    )


def _version_check() -> User:
    commands = _commands(_READ_MEMBERS, ("get", "set", "watch", "unwatch"), _TRANSACTION)
    told = (registry.TOLD_KEY, registry.QUIET_KEY)
    keys = (registry.VERSIONS_KEY, registry.BUNDLES_KEY, registry.WORK_KEY, *told, *_every_record())
    return User(name=VERSION_CHECK, commands=commands, keys=keys)


def _sleeper(queues: tuple[str, ...]) -> User:
    commands = _commands(_READ_MEMBERS, ("llen", "del"))
    return User(name=SLEEPER, commands=commands, keys=(*_queue_keys(queues), *_every_record()))
