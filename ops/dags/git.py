"""Reads DAGs from a branch or tag of a git repository over HTTPS, without the program git and without history."""

from __future__ import annotations

import contextlib
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleet.dag_versions.manifest import MAX_FILE_BYTES, MAX_FILES
from project.errors import CommandError

# The token is no argument: other users of the machine see those.
USER, TOKEN = "GIT_USER", "GIT_TOKEN"
DEFAULT_USER, DEFAULT_REF = "git", "HEAD"
LOOPBACK = ("127.0.0.1", "localhost")  # the only hosts without TLS
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 30.0
MOST_REDIRECTS = 3
MOST_PACK_BYTES = MOST_BYTES = 1 << 30  # of what git sends, packed, and of all files
LFS = b"version https://git-lfs.github.com/spec/"
_REF = re.compile(r"(?!.*(\.\.|//|@\{|\.lock$))[A-Za-z0-9_][A-Za-z0-9._/+@-]{0,199}(?<![/.])")
_FOLDER = re.compile(r"[^\x00-\x1f\\:]{1,400}")
_HEADS, _TAGS, _PEELED = b"refs/heads/", b"refs/tags/", b"^{}"

Refs = Mapping[bytes, Any]


class GitTrouble(Exception):
    """The repository does not give what is asked for, and may do so later. The message is one line."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A folder of a repository at a branch or tag; `ref` HEAD is the repository's default branch."""

    url: str
    ref: str = DEFAULT_REF
    folder: str = ""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What the host asks for; a token in place of a password."""

    user: str
    token: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r})"


def parse_source(text: str) -> Source:
    """Return the source in `https://HOST/PATH[#REF[:FOLDER]]`. Raises CommandError, which does not show a password."""
    url, _, place = text.partition("#")
    ref, _, folder = place.partition(":")
    try:
        parts = urlsplit(url)
        is_url = bool(parts.hostname) and parts.port != 0 and bool(parts.path.strip("/"))
    except ValueError:
        raise CommandError("GIT is no URL") from None
    if parts.username or parts.password or "@" in parts.netloc:
        raise CommandError(f"GIT has a user or a password in it: put the token into the variable {TOKEN}")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not is_url or not is_safe or parts.query or not url.isascii() or not url.isprintable() or " " in url:
        raise CommandError("GIT must be https://HOST/PATH, with #BRANCH or #BRANCH:FOLDER after it if you like")
    if ref and not _REF.fullmatch(ref):
        raise CommandError(f"GIT: {ref!r} is no name of a branch or tag")
    folder = folder.strip("/")
    if folder and (not _FOLDER.fullmatch(folder) or {"", ".", ".."} & set(folder.split("/"))):
        raise CommandError(f"GIT: {folder!r} is no path of a folder in the repository")
    return Source(url=url, ref=ref or DEFAULT_REF, folder=folder)


def credentials_in(environment: Mapping[str, str]) -> Credentials | None:
    """Return what the environment has; None for a repository that anyone may read."""
    if not (token := environment.get(TOKEN)):
        return None
    return Credentials(user=environment.get(USER) or DEFAULT_USER, token=token)


class Repository:
    """The repository of a source. Each method asks the host, and raises GitTrouble."""

    def __init__(self, source: Source, credentials: Credentials | None = None) -> None:
        self.source, self._credentials = source, credentials

    def latest(self) -> str:
        """Return what the branch or tag is at: the hash of a commit, or of a tag's own object."""
        with _in_words(self.source):
            prefixes = None if self.source.ref == DEFAULT_REF else [_HEADS, _TAGS]
            with self._connected() as (client, path):
                return self._chosen(client.get_refs(path, ref_prefix=prefixes).refs).decode()

    def export(self, folder: Path) -> str:
        """Write the source's files into an empty folder; return the commit that they are of.

        Raises CommandError for what no version can hold: links, submodules, files that only Git LFS has.
        """
        from dulwich.objects import Commit, Tag, Tree
        from dulwich.repo import Repo

        with (
            _in_words(self.source),
            tempfile.TemporaryDirectory(prefix="git-") as scratch,
            Repo.init_bare(scratch) as repo,
        ):
            store: Any = repo.object_store
            found = store[self._fetch(repo)]
            while isinstance(found, Tag):
                found = store[found.object[1]]
            if not isinstance(found, Commit):
                raise CommandError(f"{self.source.ref} of {self.source.url} is no commit")
            tree = store[found.tree]
            if self.source.folder:
                tree = self._below(store, tree)
            if not isinstance(tree, Tree):
                raise CommandError(f"{self.source.folder} of {self.source.url} is a file")
            _write(store, tree, folder)
            return str(found.id.decode())

    def _fetch(self, repo: Any) -> bytes:
        """Fetch the one commit with its files; return what the branch or tag is at."""
        chosen: list[bytes] = []
        received = 0

        def choose(refs: Refs, depth: int | None = None) -> list[bytes]:  # noqa: ARG001 - dulwich gives it
            chosen.append(self._chosen(refs))
            return chosen

        file, keep, drop = repo.object_store.add_pack()

        def write(data: bytes) -> int:
            nonlocal received
            if (received := received + len(data)) > MOST_PACK_BYTES:
                raise CommandError(f"{self.source.url} sends more than {MOST_PACK_BYTES >> 20} MiB")
            return int(file.write(data))

        try:
            with self._connected() as (client, path):
                client.fetch_pack(path, choose, repo.get_graph_walker(), write, depth=1)
        except BaseException:
            drop()
            raise
        keep()
        return chosen[0]

    def _chosen(self, refs: Refs) -> bytes:
        """Return the hash of the ref: of a branch before a tag of the same name."""
        name = self.source.ref.encode()
        for full in (name,) if self.source.ref == DEFAULT_REF else (_HEADS + name, _TAGS + name):
            if found := refs.get(full):
                return bytes(found)
        raise GitTrouble(f"{self.source.url} has no branch or tag {self.source.ref}")

    def _below(self, store: Any, tree: Any) -> Any:
        try:
            _, found = tree.lookup_path(store.__getitem__, self.source.folder.encode())
            return store[found]
        except (KeyError, ValueError):
            raise CommandError(f"{self.source.url} has no folder {self.source.folder} at {self.source.ref}") from None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[tuple[Any, str]]:
        """Yield a client of the host, and the repository's path there."""
        import urllib3
        from dulwich.client import HttpGitClient

        parts = urlsplit(self.source.url)
        credentials = self._credentials
        with urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            retries=urllib3.Retry(0, redirect=MOST_REDIRECTS),
        ) as pool:
            client = HttpGitClient(
                f"{parts.scheme}://{parts.netloc}",
                pool_manager=pool,
                quiet=True,
                username=None if credentials is None else credentials.user,
                password=None if credentials is None else credentials.token,
            )
            answers: list[Any] = []
            request = pool.request

            def noted(*arguments: Any, **options: Any) -> Any:
                answers.append(request(*arguments, **options))
                return answers[-1]

            pool.request = noted  # type: ignore[method-assign]
            try:
                yield client, parts.path
            finally:
                for each in answers:  # dulwich leaves those open that it refuses
                    each.close()


@contextlib.contextmanager
def _in_words(source: Source) -> Iterator[None]:
    """Turn what dulwich and the network raise into GitTrouble, without what the host has sent."""
    from dulwich.client import HTTPUnauthorized
    from dulwich.errors import GitProtocolError, NotGitRepository
    from urllib3.exceptions import HTTPError

    # The last three for answers that are not of git: dulwich does not check all of them.
    broken = (GitProtocolError, HTTPError, OSError, EOFError, AssertionError, KeyError, ValueError)
    try:
        yield
    except HTTPUnauthorized:
        raise GitTrouble(f"{source.url} asks for a token, or refuses the one in {TOKEN}") from None
    except NotGitRepository:
        raise GitTrouble(f"{source.url} is no git repository, or needs a token in {TOKEN}") from None
    except broken as error:
        raise GitTrouble(f"{source.url} does not answer as git does ({type(error).__name__})") from None


def _write(store: Any, tree: Any, folder: Path) -> None:
    """Write the files of a tree. Raises CommandError."""
    total = 0
    for number, (path, mode, sha) in enumerate(_entries(store, tree)):
        place = folder.joinpath(*path)
        shown = "/".join(path)
        if stat.S_ISLNK(mode):
            raise CommandError(f"{shown} is a link: put the file itself there")
        if not stat.S_ISREG(mode):
            raise CommandError(f"{shown} is a submodule: a version has the files of one repository")
        content = store[sha].data
        if content.startswith(LFS):
            raise CommandError(f"{shown} is kept by Git LFS, which is not read: keep it in git")
        total += len(content)
        if number >= MAX_FILES or len(content) > MAX_FILE_BYTES or total > MOST_BYTES:
            raise CommandError(f"{shown} is too much: {MAX_FILES:,} files, {MOST_BYTES >> 20} MiB are the most")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o755 if mode & stat.S_IXUSR else 0o644)


def _entries(store: Any, tree: Any, above: Sequence[str] = ()) -> Iterator[tuple[Sequence[str], int, bytes]]:
    """Yield path, mode and hash of what is not a folder. Raises CommandError for a name that leads elsewhere."""
    for entry in tree.iteritems():
        try:
            name = entry.path.decode()
        except UnicodeDecodeError:
            raise CommandError(f"the name {entry.path!r} is not UTF-8") from None
        if name in ("", ".", "..") or "/" in name or "\0" in name or name.lower() == ".git":
            raise CommandError(f"the name {name!r} is no name of a file")
        path = (*above, name)
        if stat.S_ISDIR(entry.mode):
            yield from _entries(store, store[entry.sha], path)
        else:
            yield path, entry.mode, entry.sha


Deliver = Callable[[Path, str], None]  # a folder, and the commit that it is of
Say = Callable[[str], None]


class Publisher:
    """Delivers each commit that a branch or tag comes to, once.

    A version to which an operator goes back stays until the branch moves: what was delivered is not delivered again.
    `deliver` raises CommandError for what must not be delivered at all.
    """

    def __init__(self, repository: Repository, deliver: Deliver, say: Say) -> None:
        self._repository, self._deliver, self._say = repository, deliver, say
        self._seen = self._refusal = self._trouble = ""

    def poll(self, passing: tuple[type[Exception], ...] = ()) -> bool:
        """Deliver what is new; return whether something was.

        `passing`: errors of `deliver` that may pass, after which it is tried again.
        """
        may_pass: tuple[type[Exception], ...] = (GitTrouble, *passing)
        try:
            at = self._repository.latest()
            if at == self._seen:
                self._note(self._refusal)
                return False
            with tempfile.TemporaryDirectory(prefix="dags-") as name:
                commit = self._repository.export(Path(name))
                self._deliver(Path(name), commit)
        except CommandError as error:
            self._seen, self._refusal = at, f"{at[:12]} is not delivered: {error}"
            self._note(self._refusal)
            return False
        except may_pass as error:
            self._note(f"{error}: tried again, the last version stays")
            return False
        self._seen, self._refusal = at, ""
        self._note("")
        return True

    def _note(self, trouble: str) -> None:
        """Say a trouble when it begins, changes or ends."""
        if trouble != self._trouble:
            self._say(trouble or f"{self._repository.source.url} is followed again")
        self._trouble = trouble
