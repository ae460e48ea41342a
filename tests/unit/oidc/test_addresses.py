"""Unit tests of where an issuer, its endpoints and its keys may be."""

import pytest

from oidc.addresses import is_address, may_name


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://a.example", True),
        ("https://a.example:8443/realms/x", True),
        ("http://127.0.0.1:9000", True),
        ("http://localhost:9000", True),
        ("http://a.example", False),
        ("http://127.0.0.1.a.example", False),
        ("http://localhost@a.example", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://a.example?x", False),
        ("https://[::1", False),
    ],
)
def test_an_issuer_has_an_https_address_or_is_on_this_machine(url: str, is_one: bool) -> None:
    assert is_address(url) is is_one


@pytest.mark.parametrize(
    ("issuer", "url", "may"),
    [
        ("https://a.example", "https://keys.example/a", True),
        ("https://a.example", "https://a.example/keys?p=policy", True),
        ("https://a.example", "http://127.0.0.1:8080/execution/keys", False),
        ("https://a.example", "http://169.254.170.2/v2/credentials", False),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/keys", True),
        ("http://127.0.0.1:9000", "http://169.254.170.2/v2/credentials", False),
        ("https://a.example", "file:///etc/passwd", False),
        ("https://a.example", "https://a.example/keys#x?y", False),
    ],
)
def test_an_issuer_elsewhere_names_no_address_on_this_machine_or_without_tls(issuer: str, url: str, may: bool) -> None:
    assert may_name(issuer, url) is may
