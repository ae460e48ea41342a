"""Signing in as a browser does, without a browser: cookies, redirects and the form's hidden token."""

import re
from http.cookiejar import Cookie

import httpx

TIMEOUT_S = 60.0
HIDDEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
# What the load balancer adds.
BEHIND_TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.7"}


class Browser:
    """A client that keeps cookies as behind TLS. Its address is that of the load balancer's header."""

    def __init__(self, url: str, *, address: str = "10.0.0.7") -> None:
        self.http = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, headers={**BEHIND_TLS, "X-Forwarded-For": address}, cookies=httpx.Cookies()
        )

    def cookie(self, name: str) -> Cookie | None:
        return next((each for each in self.http.cookies.jar if each.name == name), None)

    def cookies(self) -> dict[str, str]:
        return {each.name: each.value or "" for each in self.http.cookies.jar}

    def take(self, answer: httpx.Response) -> None:
        """Take the cookies of an answer to a request that was sent without any."""
        self.http.cookies.extract_cookies(answer)

    def get(self, path: str) -> httpx.Response:
        """GET with every cookie: this connection has no TLS, and a client would keep `Secure` cookies to itself."""
        return self.http.get(path, headers={"Cookie": _header(self.cookies())})

    def post(self, path: str, form: dict[str, str]) -> httpx.Response:
        """POST a form from its own page, which browsers name."""
        page = f"https://{self.http.base_url.netloc.decode()}{path}"
        return self.http.post(path, data=form, headers={"Cookie": _header(self.cookies()), "Referer": page})

    def sign_in(self, user: str, password: str, *, page: str = "/auth/login/") -> httpx.Response:
        """Fill the form in; return the answer."""
        found = HIDDEN.search(self.get(page).text)
        assert found is not None
        return self.post(page, {"username": user, "password": password, "csrf_token": found[1]})

    def enter(self, user: str, password: str, *, page: str = "/auth/login/") -> None:
        """Sign in and follow to the UI, as far as it sets the token."""
        answer = self.sign_in(user, password, page=page)
        assert answer.status_code == 302, answer.text
        self.get("/auth/")
        assert self.cookie("_token") is not None

    def close(self) -> None:
        self.http.close()


def _header(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
