"""Issues certificates for the TLS that the stack's clients insist on."""

import datetime
import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.servers.ports import HOST

LIFETIME = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)
CLOCK_SKEW = datetime.timedelta(days=1)  # the clock of a virtual machine may jump back
PEM_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class _Issued:
    authority: x509.Certificate
    server: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Authority:
    """A CA and one server certificate for `names` and 127.0.0.1, in `directory`; valid for a year, renewed in time.

    The CA's own key is never written: it signs one certificate and is forgotten, so no one can sign another with it.
    """

    def __init__(self, directory: str | os.PathLike[str], names: tuple[str, ...] = ("localhost",)) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self.ca_path = self._directory / "ca.pem"
        self.certificate_path = self._directory / "server.pem"
        self.key_path = self._directory / "server.key"
        self.ca_bundle = self._directory / "ca-bundle.pem"
        if not self._is_usable(names):
            self._write(_issue(names))
        _replace(self.ca_bundle, _bundle(self.ca_path.read_text()), mode=0o644)

    def server_context(self) -> ssl.SSLContext:
        """Make the context of a server that presents the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.certificate_path, self.key_path)
        context.num_tickets = 0  # no client resumes sessions here, and an unread ticket resets a short connection
        return context

    def _write(self, issued: _Issued) -> None:
        key = issued.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _replace(self.key_path, key.decode(), mode=0o600)
        for path, certificate in ((self.certificate_path, issued.server), (self.ca_path, issued.authority)):
            _replace(path, certificate.public_bytes(serialization.Encoding.PEM).decode(), mode=0o644)

    def _is_usable(self, names: tuple[str, ...]) -> bool:
        """Whether the files exist, belong together, are for these names and stay valid for RENEW_BEFORE."""
        try:
            authority = x509.load_pem_x509_certificate(self.ca_path.read_bytes())
            server = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
            key = serialization.load_pem_private_key(self.key_path.read_bytes(), password=None)
            server.verify_directly_issued_by(authority)
        except (FileNotFoundError, ValueError, TypeError, InvalidSignature):
            return False
        return (
            key.public_key() == server.public_key()
            and server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == _names(names)
            and server.not_valid_before_utc <= _now()
            and server.not_valid_after_utc - RENEW_BEFORE > _now()
        )


def _issue(names: tuple[str, ...]) -> _Issued:
    """Issue both certificates, with the extensions that Python 3.13's VERIFY_X509_STRICT demands."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "airflow-on-ecs local CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    authority = (
        _builder(subject=ca_name, issuer=ca_name, key=ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(issuer_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        _builder(subject=name, issuer=ca_name, key=key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_names(names), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _Issued(authority=authority, server=server, key=key)


def _builder(*, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - CLOCK_SKEW)
        .not_valid_after(_now() + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(names: tuple[str, ...]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [*(x509.DNSName(name) for name in names), x509.IPAddress(ipaddress.ip_address(HOST))]
    )


def _bundle(ours: str) -> str:
    """Join the public CAs, the machine's own (such as a proxy's) and ours, as clients take one file."""
    texts = [Path(certifi.where()).read_text()]
    machine = os.environ.get("SSL_CERT_FILE")
    if machine and Path(machine).is_file():
        texts.append(Path(machine).read_text())
    certificates = [certificate for text in (*texts, ours) for certificate in PEM_CERTIFICATE.findall(text)]
    return "\n".join(dict.fromkeys(certificates)) + "\n"


def _replace(path: Path, text: str, *, mode: int) -> None:
    """Write all of the file or nothing, at no moment readable by others when `mode` forbids it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)
    unfinished.chmod(mode)
    unfinished.rename(path)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
