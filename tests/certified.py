"""Certificates for tests: authorities, and leaves that name workloads."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


def certificate(
    name: str,
    uris: list[str],
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    *,
    signs: bool = False,
    expired: bool = False,
    lasts_s: float = 3600,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A CA (no issuer), or a leaf for 127.0.0.1 and these URIs; `signs`: its key may sign certificates, too; `expired`:
    it was good until a moment ago; else it is good for `lasts_s`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    ca = issuer is None
    usage = x509.KeyUsage(not ca, False, False, False, False, ca or signs, ca, False, False)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now - datetime.timedelta(seconds=10) if expired else now + datetime.timedelta(seconds=lasts_s))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
    if not ca:
        here: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names = [x509.UniformResourceIdentifier(uri) for uri in uris] + here
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        built = built.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return built.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def pem(folder: Path, name: str, pair: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> tuple[str, str]:
    """The certificate's and the key's files."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    cert.write_bytes(pair[0].public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    key.touch(mode=0o600)  # libpq wants keys that nobody else reads
    key.write_bytes(pair[1].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return str(cert), str(key)


def der(pair: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> bytes:
    """The certificate itself."""
    return pair[0].public_bytes(serialization.Encoding.DER)


def shown(port: int) -> bytes | None:
    """The certificate that a TLS server on this machine shows to who knows nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True)
