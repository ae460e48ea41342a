"""Names that the parts of the sign-in share: roles, users and the variables of the environment."""

from __future__ import annotations

ADMIN = "admin"  # the first user, with the password of the stack's secret
BUILT_IN_ROLES = ("Admin", "Op", "User", "Viewer", "Public")
# No local user may have it in its name, so no name of a provider's user or a machine can be a local one.
SEPARATOR = ":"
# Stands where a password's hash would: no password has it.
NO_PASSWORD = "!"  # noqa: S105
# Who is declared in the file has an address here, by which it is known again once the file no longer names it.
DECLARED_DOMAIN = "declared.invalid"

# Set by the entrypoint.
ADMIN_PASSWORD = "SIGN_IN_ADMIN_PASSWORD"  # noqa: S105 - names of variables
USER_PASSWORDS = "SIGN_IN_USER_PASSWORDS"
DEFAULT_SESSION_MINUTES = 480
OIDC_ISSUER = "OIDC_ISSUER"
OIDC_CLIENT_ID = "OIDC_CLIENT_ID"
OIDC_CLIENT_SECRET = "OIDC_CLIENT_SECRET"  # noqa: S105
OIDC_SCOPES = "OIDC_SCOPES"
OIDC_GROUPS_CLAIM = "OIDC_GROUPS_CLAIM"
ROLE_MAPPING = "ROLE_MAPPING"
DEFAULT_SCOPES = "openid profile email"
DEFAULT_GROUPS_CLAIM = "groups"
