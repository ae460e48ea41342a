"""The pages on which people sign in with the provider."""

from __future__ import annotations

import logging
import time
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.fab.www.views import get_safe_url
from airflow.providers.fab.www.views import redirect as redirect_with_token
from flask import current_app, g, redirect, request, session
from flask_appbuilder import BaseView, expose

from oidc.fetch import ProviderAway
from sign_in import flows
from sign_in.page import page
from sign_in.people import Person, person_of
from sign_in.provider import Refused
from sign_in.provider_settings import SignInProvider, sign_in_provider
from sign_in.users import NotActive, UnknownRole, end_user, store_user

log = logging.getLogger(__name__)

ID_TOKEN = "id_token"  # noqa: S105 - the session's key. It ends the provider's session, and is good for nothing else
LOCAL = "local"  # the parameter of the sign-in page that asks for the form


class ProviderView(BaseView):  # type: ignore[misc]  # Flask is not type-checked here
    """Sends the browser to the provider, and takes it back with a code."""

    route_base = "/oidc"

    @expose("/start")  # type: ignore[untyped-decorator]
    def start(self) -> Any:
        """Begin a sign-in."""
        now, target = time.time(), get_safe_url(request.args.get("next", ""))
        if len(target) > flows.LONGEST_TARGET:
            target = get_safe_url("")
        flow = flows.begin(target=target, now=now)
        try:
            url = _ours().provider.authorization_url(state=flow.state, nonce=flow.nonce, verifier=flow.verifier)
        except ProviderAway as error:
            return _away(error)
        response, cookies = redirect(url), _cookies()
        for name in cookies.surplus(request.cookies, now=now):
            _forget(response, name)
        response.set_cookie(flow.cookie, cookies.value(flow), max_age=flows.LASTS_S, **_cookie_settings())
        return response

    @expose("/callback")  # type: ignore[untyped-decorator]
    def callback(self) -> Any:
        """Finish a sign-in, with the code that the provider gave the browser."""
        flow = _cookies().find(request.cookies, state=request.args.get("state", ""), now=time.time())
        response = self._finish(flow)
        if flow is not None:
            _forget(response, flow.cookie)
        return response

    def _finish(self, flow: flows.Flow | None) -> Any:
        ours = _ours()
        try:
            if flow is None:
                raise Refused("this browser did not begin it, or more than ten minutes ago")
            if request.args.get("iss", ours.provider.client.issuer) != ours.provider.client.issuer:
                raise Refused("the answer is of another provider")
            if "code" not in request.args:
                raise Refused("the provider gave no code")
            token = ours.provider.exchange(request.args["code"], verifier=flow.verifier)
            claims = ours.provider.verify(token, nonce=flow.nonce)
        except ProviderAway as error:
            return _away(error)
        except Refused as error:
            log.warning("sign-in: refused: %s", error)
            return _refused()
        person = person_of(claims, mapping=ours.mapping, groups_claim=ours.groups_claim)
        return self._enter(person, token=token, target=flow.target)

    @expose("/signed-out")  # type: ignore[untyped-decorator]
    def signed_out(self) -> Any:
        """Say so: the sign-in page would sign in again at once."""
        return page("You are signed out", links=[("Sign in", "../login/")])

    def _enter(self, person: Person, *, token: str, target: str) -> Any:
        security = self.appbuilder.sm
        session[ID_TOKEN] = token
        if not person.roles:
            end_user(security, key=person.key)
            log.warning("sign-in: no group of %s has a role", person.name)
            return _without_role(person)
        try:
            user = store_user(
                security,
                key=person.key,
                name=person.name,
                roles=person.roles,
                first_name=person.first_name,
                last_name=person.last_name,
            )
        except (UnknownRole, NotActive) as error:
            log.warning("sign-in: refused: %s", error)
            return _without_role(person)
        security.begin_session(user)
        g.user = user
        log.info("sign-in: %s has the roles %s", person.name, ", ".join(person.roles))
        return redirect_with_token(target)


def _ours() -> SignInProvider:
    ours = sign_in_provider()
    if ours is None:
        raise RuntimeError("this environment has no provider")
    return ours


def _cookies() -> flows.Cookies:
    return flows.Cookies(current_app.secret_key)


def _cookie_settings() -> dict[str, Any]:
    """Return what the cookies of sign-ins have: the browser shows them to these pages only, and to no script."""
    return {
        "path": urlsplit(_ours().provider.client.redirect_uri).path.rpartition("/")[0],
        "secure": current_app.config["SESSION_COOKIE_SECURE"],
        "httponly": True,
        "samesite": "Lax",  # the provider's redirect comes from another site
    }


def _forget(response: Any, cookie: str) -> None:
    response.delete_cookie(cookie, **_cookie_settings())


def _away(error: ProviderAway) -> Any:
    log.error("sign-in: the provider is away: %s", error)
    return page(
        "The sign-in provider does not answer",
        "Try again in a moment. If it lasts, an administrator can sign in with the local user admin.",
        links=[("Try again", "../login/"), ("Sign in with a local user", f"../login/?{LOCAL}")],
        status=503,
    )


def _refused() -> Any:
    return page(
        "The sign-in was not accepted",
        "It took too long, was begun in another browser, or the provider's answer could not be verified. "
        "The log of the webserver says which.",
        links=[("Start again", "../login/")],
        status=401,
    )


def _without_role(person: Person) -> Any:
    return page(
        "You have no role in this Airflow",
        f"You are signed in as {person.name}, but none of your groups has a role here, or your user was deactivated. "
        "Ask an administrator of this Airflow for a group that has one, then sign in again.",
        links=[("Sign in as someone else", "../logout/")],
        status=403,
    )
