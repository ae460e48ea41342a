"""The local certificate authority."""

import datetime
import ssl
import stat
from pathlib import Path

import certifi
import pytest

from local.servers import tls
from local.servers.tls import LIFETIME, PEM_CERTIFICATE, RENEW_BEFORE, Authority


def handshake(authority: Authority, *, name: str, ca_file: Path) -> None:
    """Do a TLS handshake in memory, with a client as strict as Python 3.13's defaults. Raise SSLError on failure."""
    client_context = ssl.create_default_context(cafile=str(ca_file))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = authority.server_context().wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_strict_client_with_the_bundle_trusts_the_server(tmp_path: Path, name: str) -> None:
    authority = Authority(tmp_path)
    handshake(authority, name=name, ca_file=authority.ca_bundle)


def test_a_client_with_the_public_cas_only_does_not(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(Authority(tmp_path), name="localhost", ca_file=Path(certifi.where()))


def test_the_certificate_is_for_this_machine_only(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(authority, name="example.com", ca_file=authority.ca_bundle)


def test_further_names_can_be_asked_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path, names=("localhost", "webserver.test.internal"))
    handshake(authority, name="webserver.test.internal", ca_file=authority.ca_bundle)


def test_the_key_is_for_its_owner_only_and_the_cas_key_for_nobody(tmp_path: Path) -> None:
    Authority(tmp_path)
    with_keys = [path for path in tmp_path.iterdir() if "PRIVATE KEY" in path.read_text()]
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in with_keys] == [("server.key", 0o600)]


def test_what_is_there_is_used_again(tmp_path: Path) -> None:
    first = Authority(tmp_path).certificate_path.read_bytes()
    assert Authority(tmp_path).certificate_path.read_bytes() == first


@pytest.mark.parametrize("before_the_end", [RENEW_BEFORE - datetime.timedelta(hours=1), -datetime.timedelta(days=1)])
def test_a_certificate_near_or_past_its_end_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_the_end: datetime.timedelta
) -> None:
    issued_at = datetime.datetime.now(datetime.UTC) - LIFETIME + before_the_end
    with monkeypatch.context() as then:
        then.setattr(tls, "_now", lambda: issued_at)
        old = Authority(tmp_path).certificate_path.read_bytes()
    renewed = Authority(tmp_path)
    assert renewed.certificate_path.read_bytes() != old
    handshake(renewed, name="localhost", ca_file=renewed.ca_bundle)


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
@pytest.mark.parametrize("damage", ["missing", "garbage", "of another authority"])
def test_files_that_do_not_belong_together_are_replaced(tmp_path: Path, name: str, damage: str) -> None:
    path = Authority(tmp_path / "ours").ca_path.parent / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"garbage" if damage == "garbage" else _of_another(tmp_path, name))
    authority = Authority(tmp_path / "ours")
    handshake(authority, name="localhost", ca_file=authority.ca_bundle)


def test_other_names_make_another_certificate(tmp_path: Path) -> None:
    first = Authority(tmp_path).certificate_path.read_bytes()
    assert Authority(tmp_path, names=("elsewhere",)).certificate_path.read_bytes() != first


def test_the_bundle_has_the_public_cas_the_machines_and_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Authority(tmp_path / "machine").ca_path
    monkeypatch.setenv("SSL_CERT_FILE", str(machines))
    authority = Authority(tmp_path / "ours")
    bundled = PEM_CERTIFICATE.findall(authority.ca_bundle.read_text())
    public = PEM_CERTIFICATE.findall(Path(certifi.where()).read_text())
    assert bundled == [*public, machines.read_text().strip(), authority.ca_path.read_text().strip()]


def _of_another(tmp_path: Path, name: str) -> bytes:
    return (Authority(tmp_path / "another").ca_path.parent / name).read_bytes()
