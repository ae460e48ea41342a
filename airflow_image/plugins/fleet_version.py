"""Lets the webserver say which code it runs: `/fleet/version`, without sign-in, and nothing secret in it."""

from __future__ import annotations

import os
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from fleet import names
from fleet.registry import WEBSERVER

PREFIX = "/fleet"
PATH = "/version"


def make_app() -> Any:
    """The ASGI application below PREFIX."""
    # Imported here: every process loads this file, and none but the webserver needs FastAPI.
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse

    from fleet.identity import read_identity
    from fleet.versions import CodeWatch

    app = FastAPI(openapi_url=None)
    identity, code = read_identity(os.environ), CodeWatch(os.environ)

    # Both: what no route takes is answered by the UI, with a page and status 200.
    @app.get(PATH)  # type: ignore[untyped-decorator]
    @app.get(f"{PATH}/")  # type: ignore[untyped-decorator]
    def version() -> Any:  # FastAPI could not look up a name that is only known in this function
        return JSONResponse(identity.answer(code.dags_hash()), headers={"Cache-Control": "no-store"})

    return app


class FleetVersion(AirflowPlugin):  # type: ignore[misc]  # Airflow is not looked into
    """Nothing but the application, and only in the webserver."""

    name = "fleet_version"
    fastapi_apps = (
        [{"name": name, "url_prefix": PREFIX, "app": make_app()}] if os.environ.get(names.ROLE) == WEBSERVER else []
    )
