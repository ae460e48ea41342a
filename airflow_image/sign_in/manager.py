"""Airflow's auth manager: FAB's, with sessions that end, a sign-out that holds, and limited attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import AUTH_MANAGER_FASTAPI_APP_PREFIX, create_auth_manager
from airflow.configuration import conf
from airflow.exceptions import AirflowConfigException
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager
from airflow.providers.fab.www.app import create_app

from sign_in.attempts import ADDRESS, address_of

SIGN_OUT = "/logout"  # below the auth manager's prefix


class SignInManager(FabAuthManager):  # type: ignore[misc]  # Airflow is not type-checked here
    """FAB's auth manager with this product's rules."""

    def get_fastapi_app(self) -> Any:
        """Return the application below /auth. Raises AirflowConfigException unless FAB has this product's settings."""
        require_settings()
        app = super().get_fastapi_app()
        require_security(self.flask_app.appbuilder.sm)
        # FAB's own sign-out forgets the cookies and leaves the session, so a kept cookie stays good.
        app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") != SIGN_OUT]
        app.add_middleware(CallersAddress)
        return app

    def get_url_logout(self) -> str:
        """Return the address that ends the session."""
        return f"{AUTH_MANAGER_FASTAPI_APP_PREFIX}{SIGN_OUT}/"


class CallersAddress:
    """Tells what counts attempts where a request comes from."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request as the application does."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            client = scope.get("client") or ("", 0)
            ADDRESS.set(address_of(headers.get(b"x-forwarded-for", b"").decode("latin-1"), client[0]))
        await self._app(scope, receive, send)


def require_settings() -> None:
    """Raise AirflowConfigException if FAB's file of settings is missing: FAB would take its own defaults."""
    path = conf.get_mandatory_value("fab", "config_file")
    if not Path(path).is_file():
        raise AirflowConfigException(f"FAB's settings are missing: {path} is not a file")


def require_security(security: Any) -> None:
    """Raise AirflowConfigException unless the settings name this product's security manager, or one that extends it."""
    from sign_in.security import SignInSecurity

    if not isinstance(security, SignInSecurity):
        raise AirflowConfigException("SECURITY_MANAGER_CLASS must be sign_in.security.SignInSecurity or extend it")


def flask_application() -> Any:
    """Return FAB's application outside a webserver."""
    require_settings()
    create_auth_manager()
    application = create_app(enable_plugins=False)
    require_security(application.appbuilder.sm)
    return application
