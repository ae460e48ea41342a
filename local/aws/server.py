"""Serves moto's services, and those that replace them, on one port of 127.0.0.1."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any

from flask import Flask
from moto.backends import get_backend
from moto.core.utils import convert_to_flask_response
from moto.moto_server.werkzeug_app import (
    BackendRequest,
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import BaseWSGIServer, make_server

from local.aws import patches
from local.aws.backend.settings import HOST, Settings
from local.aws.cloudformation.api import CloudFormationApi
from local.aws.cloudformation.engine import Engine
from local.aws.iam.gate import Gate
from local.aws.iam.state import State
from local.aws.otlp.receiver import TELEMETRY_PATH, Receiver

BACKLOG = 128
# The services that a deployment uses first; see _warm_up.
SERVICES = ("s3", "ec2", "iam", "logs", "rds", "elbv2", "cloudwatch", "secretsmanager", "servicediscovery", "events")
POLL_S = 0.1  # until the server notices that it should stop


class _QuietHandler(MotoRequestHandler):  # type: ignore[misc]  # mypy is told not to look into moto
    """Logs errors, but no line for each request."""

    def log_request(self, *_args: Any, **_kwargs: Any) -> None:
        pass


def _application(service: Any) -> Flask:
    """Return the Flask application of one service. Not importing moto's CloudFormation saves a second."""
    if service != "cloudformation":
        app: Flask = create_backend_app(service)
        # Clients of an API need an error in one line, not Flask's debug page with source and variables.
        app.debug = False
        return app
    app = Flask("cloudformation")
    app.request_class = BackendRequest
    view = convert_to_flask_response(CloudFormationApi.dispatch)
    app.add_url_rule("/", endpoint="dispatch", methods=["GET", "POST"], view_func=view)
    return app


def _warm_up() -> None:
    """Import services while SAM CLI starts, which takes seconds: this makes a deployment 3 s shorter."""
    for service in SERVICES:
        get_backend(service)


class Server:
    """The API. Raises OSError when the port is taken."""

    def __init__(self, settings: Settings) -> None:
        os.environ["MOTO_ACCOUNT_ID"] = settings.account
        # Without it, the managed policies of AWS that SAM attaches to roles do not exist.
        os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
        engine = Engine(settings)
        CloudFormationApi.engine = engine
        patches.apply(settings, cloud=engine.cloud)
        # The socket is made here because werkzeug would end the process itself if the port is taken.
        self._socket = socket.create_server((HOST, settings.port), backlog=BACKLOG)
        self._server: BaseWSGIServer = make_server(
            HOST,
            settings.port,
            self._gate(settings, engine),
            threaded=True,
            request_handler=_QuietHandler,
            fd=self._socket.fileno(),
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": POLL_S}, daemon=True, name="api"
        )

    @staticmethod
    def _gate(settings: Settings, engine: Engine) -> Gate:
        receiver = Receiver(DomainDispatcherApplication(_application))
        return Gate(
            receiver,
            state=State(settings.account),
            account=settings.account,
            stack_of=engine.stack_of,
            own={TELEMETRY_PATH: receiver.tell},
        )

    def start(self) -> None:
        """Serve; the API can be called when this returns."""
        self._thread.start()
        threading.Thread(target=_warm_up, daemon=True, name="warm up").start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._socket.close()
        self._thread.join()
