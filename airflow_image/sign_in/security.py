"""FAB's security manager with this product's rules: who may sign in with a password, and how one signs out."""

from __future__ import annotations

import logging
import math
from typing import Any

from airflow.api_fastapi.app import get_auth_manager, get_cookie_path
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.providers.fab.auth_manager.security_manager.override import FabAirflowSecurityManagerOverride
from flask import g, has_request_context, redirect, request, session, url_for
from flask_appbuilder import expose
from flask_appbuilder.security.decorators import no_cache
from flask_appbuilder.security.views import AuthDBView
from flask_login import current_user, login_user, logout_user
from starlette.exceptions import HTTPException
from werkzeug.exceptions import TooManyRequests

from sign_in.attempts import ADDRESS, Attempts
from sign_in.names import SEPARATOR
from sign_in.provider_settings import sign_in_provider
from sign_in.provider_view import ID_TOKEN, LOCAL, ProviderView

log = logging.getLogger(__name__)

# Of this process, whichever of FAB's applications asks.
ATTEMPTS = Attempts()


class SignInView(AuthDBView):  # type: ignore[misc]  # Flask is not type-checked here
    """The page with the form for a name and a password, and the sign-out."""

    @expose("/login/", methods=["GET", "POST"])  # type: ignore[untyped-decorator]
    @no_cache  # type: ignore[untyped-decorator]
    def login(self) -> Any:
        """Show or take the form; with a provider, send the browser there unless it asks for the form."""
        if sign_in_provider() is None or g.user.is_authenticated:
            return super().login()
        if LOCAL not in request.args:
            return redirect(url_for("ProviderView.start", next=request.args.get("next", "")))
        answer = super().login()
        # FAB sends people with a wrong password to the page without the parameter.
        has_failed = request.method == "POST" and not current_user.is_authenticated
        return redirect(f"{url_for('SignInView.login')}?{LOCAL}=1") if has_failed else answer

    @expose("/logout/", methods=["GET", "POST"])  # type: ignore[untyped-decorator]
    def logout(self) -> Any:
        """End the session and revoke its token."""
        if token := request.cookies.get(COOKIE_NAME_JWT_TOKEN):
            get_auth_manager().revoke_token(token)
        target, token = get_auth_manager().get_url_login(), session.get(ID_TOKEN)
        if ours := sign_in_provider():
            target = ours.provider.client.signed_out_uri
            if token:
                target = ours.provider.sign_out_url(token) or target
        logout_user()
        session.clear()  # its row is deleted, so a kept cookie is worth nothing
        response = redirect(target)
        response.delete_cookie(COOKIE_NAME_JWT_TOKEN, path=get_cookie_path(), httponly=True)
        return response


class SignInSecurity(FabAirflowSecurityManagerOverride):  # type: ignore[misc]
    """Knows local users by their password, and limits attempts."""

    authdbview = SignInView

    def register_views(self) -> None:
        """Add the pages of the provider to FAB's, if there is one."""
        super().register_views()
        if sign_in_provider() is not None:
            self.appbuilder.add_view_no_menu(ProviderView())

    def begin_session(self, user: Any) -> None:
        """Sign the user in, in a session of a new name: one that was planted before is worth nothing."""
        self._rotate_session_id()
        login_user(user, remember=False)
        self.update_user_auth_stat(user, True)

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
