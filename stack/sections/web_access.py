"""Access to the web pages: the allowed address ranges, and the sign-in with OpenID Connect."""

from collections.abc import Sequence
from typing import Any

from troposphere import Equals, If, Join, Not, NoValue, Parameter, Ref, Select, Split, Sub, Template
from troposphere.ec2 import SecurityGroupRule

from stack.lib.listeners import SignIn
from stack.lib.parameters import FormGroup, Matching, add_condition, add_rule, placeholder
from stack.lib.secrets import SecretValue

MAX_RANGES = 4
RANGE = r"[0-9]{1,3}(\.[0-9]{1,3}){3}/([0-9]|[12][0-9]|3[0-2])"
GROUP = "Sign-in"
HTTPS_OR_NONE = Matching(regex=r"^(https://[A-Za-z0-9.-]+(:[0-9]+)?(/[^\s]*)?)?$", must_be="an https address, or empty")
SECRET_KEY = "clientSecret"  # noqa: S105 - the name of a key
SESSION_S = 8 * 60 * 60
# The provider's endpoints, as its /.well-known/openid-configuration names them.
ENDPOINTS = {
    "OidcAuthorizationEndpoint": ("Authorization endpoint", "authorization_endpoint"),
    "OidcTokenEndpoint": ("Token endpoint", "token_endpoint"),
    "OidcUserInfoEndpoint": ("User info endpoint", "userinfo_endpoint"),
}


def add_allowed_ranges(form: FormGroup) -> Parameter:
    return form.add(
        "AllowedCidrs",
        label="Allowed addresses",
        description=f"IPv4 ranges that may open the web pages, up to {MAX_RANGES} separated by commas.",
        constraint=Matching(
            regex=f"^{RANGE}(,{RANGE}){{0,{MAX_RANGES - 1}}}$",
            must_be="IPv4 ranges separated by commas, such as 10.0.0.0/8,192.168.0.0/16",
        ),
        default="10.0.0.0/8",
    )


def ingress_rules(t: Template, *, ranges: Parameter, ports: Sequence[tuple[Any, str, str | None]]) -> list[Any]:
    """Return a rule for each range and each (port, description, condition or None).

    At least one of the conditions must hold, or be None.
    """
    # CloudFormation cannot count the parts of Split: with the commas added, every index exists.
    parts = Split(",", Join("", [Ref(ranges), "," * (MAX_RANGES - 1)]))
    rules: list[Any] = []
    for index in range(MAX_RANGES):
        part = Select(index, parts)
        has_range = add_condition(t, f"HasAllowedRange{index + 1}", Not(Equals(part, ""))) if index else None
        for port, what, condition in ports:
            rule: Any = SecurityGroupRule(IpProtocol="tcp", FromPort=port, ToPort=port, CidrIp=part, Description=what)
            for needed in (condition, has_range):
                rule = rule if needed is None else If(needed, rule, NoValue)
            rules.append(rule)
    return rules


def add_sign_in(t: Template, *, can_certify: Any) -> SignIn:
    """Add the sign-in. `can_certify`: the expression, for rules, that there is a certificate."""
    form = FormGroup(t, GROUP)
    issuer = form.add(
        "OidcIssuer",
        label="Issuer",
        description="Issuer of the OpenID Connect provider that people sign in with; empty turns this sign-in off.",
        constraint=HTTPS_OR_NONE,
        default="",
    )
    endpoints = {
        title: form.add(
            title,
            label=label,
            description=f"Address that the provider's openid-configuration calls {field}.",
            constraint=HTTPS_OR_NONE,
            default="",
        )
        for title, (label, field) in ENDPOINTS.items()
    }
    client, secret = _add_client(form)
    environment = _add_meaning(form)
    all_others = [*endpoints.values(), client, secret]
    add_rule(
        t,
        "SignInIsComplete",
        when=Not(Equals(Ref(issuer), "")),
        assertions=[
            *((Not(Equals(Ref(other), "")), f"OidcIssuer needs {other.title}.") for other in all_others),
            (can_certify, "OidcIssuer needs CertificateArn or HostedZoneId."),
        ],
    )
    has_oidc = add_condition(t, "HasOidc", Not(Equals(Ref(issuer), "")))
    # The rule makes both equal. The linter needs this one to see that the secret's ARN is never empty.
    has_secret = add_condition(t, "HasOidcSecret", Not(Equals(Ref(secret), "")))
    return SignIn(
        has_oidc=has_oidc,
        config={
            "Issuer": Ref(issuer),
            "AuthorizationEndpoint": Ref(endpoints["OidcAuthorizationEndpoint"]),
            "TokenEndpoint": Ref(endpoints["OidcTokenEndpoint"]),
            "UserInfoEndpoint": Ref(endpoints["OidcUserInfoEndpoint"]),
            "ClientId": Ref(client),
            "ClientSecret": Sub(f"{{{{resolve:secretsmanager:{placeholder(secret)}:SecretString:{SECRET_KEY}}}}}"),
            "SessionTimeout": str(SESSION_S),
        },
        environment={"OIDC_ISSUER": Ref(issuer), "OIDC_CLIENT_ID": Ref(client), **environment},
        secrets={
            "OIDC_CLIENT_SECRET": SecretValue(
                arn=Ref(secret), value_from=Sub(f"{placeholder(secret)}:{SECRET_KEY}::"), condition=has_secret
            )
        },
    )


def _add_meaning(form: FormGroup) -> dict[str, Ref]:
    """Add what Airflow asks the provider for, and what the answer means in Airflow."""
    mapping = form.add(
        "RoleMapping",
        label="Roles of groups",
        description='JSON that gives groups of the provider roles, such as {"leads": "Admin", "team": "Op"}; '
        "applied at each sign-in.",
        constraint=Matching(regex=r"^(\{[\s\S]*\})?$", must_be="a JSON object, or empty"),
        default="",
    )
    claim = form.add(
        "OidcGroupsClaim",
        label="Claim with the groups",
        description="Claim of the provider's ID token that lists a person's groups.",
        constraint=Matching(regex=r"^[A-Za-z0-9_.:/-]+$", must_be="the name of a claim, such as groups"),
        default="groups",
    )
    scopes = form.add(
        "OidcScopes",
        label="Scopes",
        description="Scopes that Airflow asks the provider for, separated by spaces; some need groups as well.",
        constraint=Matching(regex=r"^openid( [A-Za-z0-9_.:/-]+)*$", must_be="scopes, of which openid is the first"),
        default="openid profile email",
    )
    return {"ROLE_MAPPING": Ref(mapping), "OIDC_GROUPS_CLAIM": Ref(claim), "OIDC_SCOPES": Ref(scopes)}


def _add_client(form: FormGroup) -> tuple[Parameter, Parameter]:
    client = form.add(
        "OidcClientId",
        label="Client id",
        description="Id of this stack as a client of the provider.",
        constraint=Matching(regex=r"^[A-Za-z0-9._~:/-]*$", must_be="a client id, or empty"),
        default="",
    )
    secret = form.add(
        "OidcSecretArn",
        label="Client secret",
        description=f"ARN of a secret whose JSON has the client's secret under the key {SECRET_KEY}.",
        constraint=Matching(
            regex=r"^(arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+)?$",
            must_be="the ARN of a secret, or empty",
        ),
        default="",
    )
    return client, secret
