"""FAB's security manager with this product's rules: who may sign in with a password, and how one signs out."""

from __future__ import annotations

import logging
import math
from typing import Any

from airflow.api_fastapi.app import get_auth_manager, get_cookie_path
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from flask import has_request_context, redirect, request, session
from flask_appbuilder import expose
from flask_appbuilder.security.views import AuthDBView
from flask_login import logout_user
from starlette.exceptions import HTTPException
from werkzeug.exceptions import TooManyRequests

from sign_in.attempts import ADDRESS, Attempts
from sign_in.names import SEPARATOR

log = logging.getLogger(__name__)

# Of this process, whichever of FAB's applications asks.
ATTEMPTS = Attempts()


class SignInView(AuthDBView):  # type: ignore[misc]  # Flask is not type-checked here
    """The page with the form for a name and a password, and the sign-out."""

    @expose("/logout/", methods=["GET", "POST"])  # type: ignore[untyped-decorator]
    def logout(self) -> Any:
        """End the session and revoke its token."""
        if token := request.cookies.get(COOKIE_NAME_JWT_TOKEN):
            get_auth_manager().revoke_token(token)
        logout_user()
        session.clear()  # its row is deleted, so a kept cookie is worth nothing
        response = redirect(get_auth_manager().get_url_login())
        response.delete_cookie(COOKIE_NAME_JWT_TOKEN, path=get_cookie_path(), httponly=True)
        return response


class SignInSecurity(FabAirflowSecurityManagerOverride):  # type: ignore[misc]
    """Knows local users by their password, and limits attempts."""

    authdbview = SignInView

    def auth_user_db(self, username: str, password: str, rotate_session_id: bool = True) -> Any:
        """Return the user with this name and password; None if there is none. Answers 429 after many failures."""
        address = ADDRESS.get()
        if wait_s := ATTEMPTS.wait_s(address=address, name=username):
            log.warning("sign-in: too many attempts from %s", address)
            raise _too_many(wait_s)
        user = None if SEPARATOR in username else super().auth_user_db(username, password, rotate_session_id)
        if user is not None:
            ATTEMPTS.succeeded(address=address, name=username)
        return user


def _too_many(wait_s: float) -> Any:
    """Return the exception that the asking framework turns into HTTP 429."""
    said, seconds = "Too many failed attempts. Try again in a minute.", math.ceil(wait_s)
    if has_request_context():
        return TooManyRequests(said, retry_after=seconds)
    return HTTPException(429, said, headers={"Retry-After": str(seconds)})
