"""Runs a deployed function: fetches its package from the embedded AWS API and keeps a warm process."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import os
import re
import socket
import sys
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.iam.sessions import Credentials, RoleSession
from local.servers.process import Child, spawn
from project import paths

log = logging.getLogger(__name__)


class InvocationFailed(RuntimeError):
    """The function raised an error, ended or timed out."""


class Function:
    """A Lambda function. An invocation waits for the one before it, as in Lambda's queue of asynchronous invocations.

    While it is throttled, as with a reserved concurrency of 0, invocations wait; they are made afterwards. One that
    begins after a deployment runs the deployed code, in the deployed environment.
    """

    def __init__(
        self,
        *,
        clients: Any,
        name: str,
        platform: dict[str, str],
        resolve: Callable[[Mapping[str, str]], dict[str, str]],
        assume: Callable[[str], RoleSession],
    ) -> None:
        """Fetch the package, and assume the function's role: `assume` gets its ARN. Raises ClientError.

        `resolve` replaces Cloud Map names in an environment by addresses of this machine.
        """
        self.name = name
        self.log_path = paths.FUNCTION_LOGS / f"{name}.log"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._lambda = getattr(clients, "lambda")
        self._platform, self._resolve = platform, resolve
        answer = self._lambda.get_function(FunctionName=name)
        self._take_over(answer)
        self._session = assume(answer["Configuration"]["Role"])
        self._given: Credentials | None = None  # to the process
        self._busy = threading.Lock()
        self._allowed = threading.Event()
        self._allowed.set()
        self._closed = False
        self.failures = 0  # errors that the handler raised
        self._process: Child | None = None
        self._channel: socket.socket | None = None

    def invoke(self, event: dict[str, Any]) -> Any:
        """Return the handler's result. Raises InvocationFailed."""
        with self._busy:
            self._allowed.wait()
            self._refresh()
            try:
                reply = self._call({"event": event, "timeout_s": self.timeout_s})
            except (OSError, ValueError, BotoCoreError, ClientError) as error:  # TimeoutError is an OSError
                self._end()
                raise InvocationFailed(f"{self.name}: {error or type(error).__name__}; see {self.log_path}") from error
        if "errorType" in reply:
            self.failures += 1
            raise InvocationFailed(f"{self.name}: {reply['errorType']}: {reply['errorMessage']}")
        return reply["result"]

    def _refresh(self) -> None:
        """Take over what a deployment changed. While the API is away, what is known stays."""
        try:
            answer = self._lambda.get_function(FunctionName=self.name)
        except (BotoCoreError, ClientError) as error:
            log.warning("%s is not read anew: %s", self.name, error)
            return
        if _changing_parts(answer) != self._deployed:
            self._end()
            self._take_over(answer)

    def _take_over(self, answer: Mapping[str, Any]) -> None:
        configuration = answer["Configuration"]
        self._deployed = _changing_parts(answer)
        self.arn = configuration["FunctionArn"]
        self.handler = configuration["Handler"]
        self.timeout_s = float(configuration["Timeout"])
        version = re.sub(r"\W", "-", configuration.get("CodeSha256", "code"))
        self._code = _unpack(answer["Code"]["Location"], paths.FUNCTIONS / self.name / version)
        self._env = {
            **self._platform,
            **(configuration.get("Environment") or {}).get("Variables", {}),
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration.get("MemorySize", 128)),
            "LOCAL_FUNCTION_ARN": self.arn,
            "PYTHONPATH": str(paths.ROOT),
            "PATH": os.environ.get("PATH", os.defpath),
        }

    def throttle(self) -> None:
        """Stop invoking it; an invocation under way fails."""
        self._allowed.clear()
        self._end()

    def unthrottle(self) -> None:
        """Allow invocations again."""
        self._allowed.set()

    def reach(self, endpoint: str) -> None:
        """Let it call AWS at another address from now on; an invocation under way fails."""
        self._env = {**self._env, "AWS_ENDPOINT_URL": endpoint}
        self._end()

    def in_second_process(self) -> Function:
        """Return the same function with its own process, as Lambda runs a second concurrent invocation."""
        other = copy.copy(self)
        other._busy, other._allowed = threading.Lock(), threading.Event()
        other._allowed.set()
        other._process = other._channel = None
        return other

    def close(self) -> None:
        """End the warm process; the invocation under way and every later one fail."""
        self._closed = True
        self._allowed.set()
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        if process is not None:
            process.kill()
            process.wait()
        if channel is not None:
            channel.close()

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        channel = self._warm()
        channel.settimeout(self.timeout_s)
        channel.sendall(json.dumps(request).encode() + b"\n")
        data = b""
        while not data.endswith(b"\n"):
            chunk = channel.recv(65536)
            if not chunk:
                raise ConnectionError("the function's process ended")
            data += chunk
        reply: dict[str, Any] = json.loads(data)
        return reply

    def _warm(self) -> socket.socket:
        if self._closed:
            raise ConnectionError("the stack is stopped")
        channel, credentials = self._channel, self._session.credentials()
        is_alive = self._process is not None and self._process.poll() is None
        # Lambda, too, replaces a process before the credentials in its environment expire.
        if channel is None or not is_alive or credentials != self._given:
            self._end()
            channel, theirs = socket.socketpair()
            self._channel, self._given = channel, credentials
            with theirs:
                argv = [sys.executable, "-m", "local.lambdas.runtime", str(self._code), self.handler]
                fd = theirs.fileno()
                self._process = spawn(
                    [*argv, str(fd)],
                    env={**self._resolve(self._env), **credentials.variables},
                    cwd=self._code,
                    log_path=self.log_path,
                    pass_fds=(fd,),
                )
        return channel  # not the attribute, which another thread may have cleared meanwhile


def _changing_parts(answer: Mapping[str, Any]) -> list[Any]:
    """Return the parts of a function that a deployment may change."""
    return [answer["Configuration"].get(name) for name in ("CodeSha256", "Environment", "Handler", "Timeout")]


def _unpack(location: str, target: Path) -> Path:
    """Unpack a package into the folder, unless another process of the function has: a version never changes."""
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=target.parent))
    with urllib.request.urlopen(location, timeout=30) as answer:  # noqa: S310 - the embedded API's own address
        package = io.BytesIO(answer.read())
    with zipfile.ZipFile(package) as archive:
        archive.extractall(made)
    made.chmod(0o755)
    with contextlib.suppress(OSError):  # the other one was faster
        made.rename(target)
    return target
