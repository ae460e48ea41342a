"""FAB's settings. Any `airflow` command may read this file, so it needs no variable."""

from flask_appbuilder.const import AUTH_DB

from sign_in.security import SignInSecurity

AUTH_TYPE = AUTH_DB
SECURITY_MANAGER_CLASS = SignInSecurity
AUTH_USER_REGISTRATION = False
# FAB's own limit counts by an address that the caller can choose, and does not reach /auth/token.
AUTH_RATE_LIMITED = False
WTF_CSRF_ENABLED = True
