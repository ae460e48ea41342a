"""Runs a deployed function: fetches its package from the embedded AWS API and keeps a warm process."""

from __future__ import annotations

import copy
import io
import json
import os
import shutil
import socket
import sys
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


class InvocationFailed(RuntimeError):
    """The function raised an error, ended or timed out."""


class Function:
    """A Lambda function. An invocation waits for the one before it, as in Lambda's queue of asynchronous invocations.

    While it is throttled, as with a reserved concurrency of 0, invocations wait; they are made afterwards.
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
        answer = getattr(clients, "lambda").get_function(FunctionName=name)
        configuration = answer["Configuration"]
        self.name = name
        self.arn = configuration["FunctionArn"]
        self.handler = configuration["Handler"]
        self.timeout_s = float(configuration["Timeout"])
        self.log_path = paths.LOGS / "functions" / f"{name}.log"
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._code = _unpack(answer["Code"]["Location"], paths.FUNCTIONS / name)
        self._env = {
            **platform,
            **(configuration.get("Environment") or {}).get("Variables", {}),
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration.get("MemorySize", 128)),
            "LOCAL_FUNCTION_ARN": self.arn,
            "PYTHONPATH": str(paths.ROOT),
            "PATH": os.environ.get("PATH", os.defpath),
        }
        self._resolve = resolve
        self._session = assume(configuration["Role"])
        self._given: Credentials | None = None  # to the process
        self._busy = threading.Lock()
        self._allowed = threading.Event()
        self._allowed.set()
        self._closed = False
        self._process: Child | None = None
        self._channel: socket.socket | None = None

    def invoke(self, event: dict[str, Any]) -> Any:
        """Return the handler's result. Raises InvocationFailed."""
        with self._busy:
            self._allowed.wait()
            try:
                reply = self._call({"event": event, "timeout_s": self.timeout_s})
            except (OSError, ValueError, BotoCoreError, ClientError) as error:  # TimeoutError is an OSError
                self._end()
                raise InvocationFailed(f"{self.name}: {error or type(error).__name__}; see {self.log_path}") from error
        if "errorType" in reply:
            raise InvocationFailed(f"{self.name}: {reply['errorType']}: {reply['errorMessage']}")
        return reply["result"]

    def throttle(self) -> None:
        """Stop invoking it; an invocation under way fails."""
        self._allowed.clear()
        self._end()

    def unthrottle(self) -> None:
        """Allow invocations again."""
        self._allowed.set()

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


def _unpack(location: str, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with urllib.request.urlopen(location, timeout=30) as answer:  # noqa: S310 - the embedded API's own address
        package = io.BytesIO(answer.read())
    with zipfile.ZipFile(package) as archive:
        archive.extractall(target)
    return target
