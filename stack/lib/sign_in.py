"""Sign-in at the load balancer with an OpenID Connect provider, before anybody sees a page."""

from dataclasses import dataclass
from typing import Any

from troposphere import Equals, Not, Ref, Sub, Template

from stack.lib.parameters import Matching, add_condition, add_parameter, add_rule, hole

GROUP = "Sign-in"
HTTPS_OR_NONE = Matching(regex=r"^(https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^\s]*)?)?$", says="an https address, or empty")
SECRET_KEY = "clientSecret"  # noqa: S105 - the name of a key
SESSION_S = 8 * 60 * 60
# The provider's endpoints, as its /.well-known/openid-configuration names them.
ENDPOINTS = {
    "OidcAuthorizationEndpoint": ("Authorization endpoint", "authorization_endpoint"),
    "OidcTokenEndpoint": ("Token endpoint", "token_endpoint"),
    "OidcUserInfoEndpoint": ("User info endpoint", "userinfo_endpoint"),
}


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """`has_oidc` is the condition under which `config` is what a listener does before it forwards."""

    has_oidc: str
    config: dict[str, Any]


def add_sign_in(t: Template, *, certificate: Any) -> SignIn:
    issuer = add_parameter(
        t,
        "OidcIssuer",
        group=GROUP,
        label="Issuer",
        description="Issuer of the OpenID Connect provider that people sign in with; empty asks for no such sign-in.",
        constraint=HTTPS_OR_NONE,
        default="",
    )
    endpoints = {
        title: add_parameter(
            t,
            title,
            group=GROUP,
            label=label,
            description=f"What the provider's openid-configuration calls {field}.",
            constraint=HTTPS_OR_NONE,
            default="",
        )
        for title, (label, field) in ENDPOINTS.items()
    }
    client = add_parameter(
        t,
        "OidcClientId",
        group=GROUP,
        label="Client",
        description="Client id that the provider has for this stack.",
        constraint=Matching(regex=r"^[A-Za-z0-9._~:/-]*$", says="a client id, or empty"),
        default="",
    )
    secret = add_parameter(
        t,
        "OidcSecretArn",
        group=GROUP,
        label="Client secret",
        description=f"ARN of a secret whose JSON holds the client's secret as {SECRET_KEY}.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)?$",
            says="the ARN of a secret, or empty",
        ),
        default="",
    )
    all_others = [*endpoints.values(), client, secret, certificate]
    add_rule(
        t,
        "SignInIsComplete",
        when=Not(Equals(Ref(issuer), "")),
        assertions=[(Not(Equals(Ref(other), "")), f"OidcIssuer needs {other.title}.") for other in all_others],
    )
    has_oidc = add_condition(t, "HasOidc", Not(Equals(Ref(issuer), "")))
    return SignIn(
        has_oidc=has_oidc,
        config={
            "Issuer": Ref(issuer),
            "AuthorizationEndpoint": Ref(endpoints["OidcAuthorizationEndpoint"]),
            "TokenEndpoint": Ref(endpoints["OidcTokenEndpoint"]),
            "UserInfoEndpoint": Ref(endpoints["OidcUserInfoEndpoint"]),
            "ClientId": Ref(client),
            "ClientSecret": Sub(f"{{{{resolve:secretsmanager:{hole(secret)}:SecretString:{SECRET_KEY}}}}}"),
            "SessionTimeout": str(SESSION_S),
        },
    )
