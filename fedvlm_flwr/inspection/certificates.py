"""Certificates and keys: whether they can be read, are in time, and belong together."""

import ipaddress
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_private_key,
)

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.findings import Finding

Load = Callable[[bytes, None], object]

SOON_DAYS = 7
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)  # those of Flower's node keys
AGAIN = "make it anew (deploy/trial_certificates.sh, or whoever runs your CA)"


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a PEM file.

    Raises:
        ConfigError: the file cannot be read, or holds none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"certificate {path} cannot be read ({error.strerror}); name the file, or give it "
            "to this user"
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate in PEM form; {AGAIN}") from error


def in_time(path: Path, certificate: x509.Certificate) -> Finding:
    """Whether a certificate is valid now, and for some days."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    now = datetime.now(UTC)
    if now > end:
        return Finding("FAIL", f"certificate {path} has expired ({end:%Y-%m-%d}); {AGAIN}")
    if now < begin:
        return Finding(
            "FAIL",
            f"certificate {path} begins to count on {begin:%Y-%m-%d %H:%M} UTC; set this "
            f"machine's clock, or {AGAIN}",
        )
    days = (end - now).days
    if days < SOON_DAYS:
        return Finding("warn", f"certificate {path} expires in {days} days; {AGAIN}")
    return Finding("ok", f"certificate {path}, valid until {end:%Y-%m-%d}")


def authority(path: Path) -> Iterator[Finding]:
    """The CA's certificate, as a site or a user has it."""
    try:
        yield in_time(path, read_certificate(path))
    except ConfigError as error:
        yield Finding("FAIL", str(error))


def server_certificate(path: Path, key: Path, ca: Path, host: str | None) -> Iterator[Finding]:
    """The SuperLink's certificate: in time, of that key, signed by that CA, for that name."""
    try:
        certificate, issuer = read_certificate(path), read_certificate(ca)
        yield in_time(path, certificate)
        yield in_time(ca, issuer)
        try:
            certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            yield Finding("FAIL", f"{path} is not signed by the CA in {ca}; name that of its CA")
        private = _private_key(key.read_bytes(), load_pem_private_key)
    except ConfigError as error:
        yield Finding("FAIL", str(error))
        return
    except OSError as error:
        yield Finding("FAIL", f"key {key} cannot be read ({error.strerror}); name the file")
        return
    if private is None:
        yield Finding("FAIL", f"{key} holds no private key without a password; {AGAIN}")
    elif _public(private) != _public(certificate):
        yield Finding("FAIL", f"the key {key} is not that of {path}; name its own")
    else:
        yield _secrecy(key)
    names = _names(certificate)
    if host is not None and host not in names:
        yield Finding(
            "FAIL",
            f"{path} is for {', '.join(sorted(names)) or 'no name'} and not for {host}, the name "
            f"that sites use; {AGAIN}",
        )


def node_key(path: Path) -> Iterator[Finding]:
    """A site's own key, with which Flower knows it."""
    try:
        private = _private_key(path.read_bytes(), load_ssh_private_key)
    except OSError as error:
        yield Finding("FAIL", f"key {path} cannot be read ({error.strerror}); name the file")
        return
    curve = private.curve if isinstance(private, ec.EllipticCurvePrivateKey) else None
    if not isinstance(curve, CURVES):
        yield Finding(
            "FAIL",
            f"{path} is no elliptic-curve key in OpenSSH's form without a password; make one "
            f'with: ssh-keygen -t ecdsa -b 384 -N "" -f {path}',
        )
        return
    yield _secrecy(path)


def _secrecy(path: Path) -> Finding:
    if path.stat().st_mode & 0o077:
        return Finding("warn", f"others can read the key {path}; chmod 600 {path}")
    return Finding("ok", f"key {path}")


def _private_key(content: bytes, load: Load) -> object | None:
    """The private key of a file; None where it holds none that needs no password."""
    try:
        return load(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _public(holder: object) -> bytes:
    key = holder.public_key()  # type: ignore[attr-defined]
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    content: bytes = key.public_bytes(serialization.Encoding.DER, form)
    return content


def _names(certificate: x509.Certificate) -> set[str]:
    """The names and addresses that a certificate is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    addresses = extension.value.get_values_for_type(x509.IPAddress)
    names = extension.value.get_values_for_type(x509.DNSName)
    return {*names, *(str(ipaddress.ip_address(str(address))) for address in addresses)}
