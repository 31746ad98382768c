"""Certificates and keys as they are found: good, expired, another's, readable by others."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.loopback import make_keys
from fedvlm_flwr.inspection.certificates import authority, node_key, server_certificate


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """What the trial's script makes."""
    folder = tmp_path_factory.mktemp("certificates")
    make_keys(folder, "north", host="hospital.example")
    make_keys(folder, "north", "south")  # a second call adds a site and keeps the rest
    return folder


@pytest.fixture
def files(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "files")
    return tmp_path / "files"


def self_signed(folder: Path, name: str, days: int) -> Path:
    """A certificate of its own that ends in some days, or has ended."""
    key, subject = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number()
    )
    builder = builder.not_valid_before(now - timedelta(days=9))
    builder = builder.not_valid_after(now + timedelta(days=days))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (folder / f"{name}.key").write_bytes(key.private_bytes(*form, serialization.NoEncryption()))
    certificate = builder.sign(key, hashes.SHA256())
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / f"{name}.crt"


def lines(findings) -> list[str]:
    return [f"{finding.level} {finding.text}" for finding in findings]


def of_server(folder: Path, host: str = "hospital.example", **others: Path) -> list[str]:
    files = {"path": "server.pem", "key": "server.key", "ca": "ca.crt"}
    paths = {name: folder / file for name, file in files.items()} | others
    return lines(server_certificate(**paths, host=host))


def test_what_the_script_makes_is_good(files) -> None:
    for host in ("hospital.example", "localhost", "127.0.0.1"):
        assert all(line.startswith("ok ") for line in of_server(files, host))
    for site in ("north", "south"):
        assert lines(node_key(files / "sites" / site)) == [f"ok key {files / 'sites' / site}"]
    assert (files / "ca.key").stat().st_mode & 0o077 == 0
    assert (files / "sites" / "south.pub").read_text().startswith("ecdsa-sha2-nistp384 ")


def test_what_is_wrong_is_named(files) -> None:
    assert "is for 127.0.0.1, hospital.example, localhost and not for other" in " ".join(
        of_server(files, "other")
    )
    foreign = self_signed(files, "foreign", 30)
    assert any("is not signed by the CA" in line for line in of_server(files, ca=foreign))
    other = files / "foreign.key"
    assert any("is not that of" in line for line in of_server(files, key=other))
    assert any("cannot be read" in line for line in of_server(files, key=files / "none"))
    assert any("cannot be read" in line for line in of_server(files, ca=files / "none"))
    assert any("no certificate in PEM" in line for line in of_server(files, path=other))
    (files / "server.key").chmod(0o644)
    assert any(line.startswith("warn others can read") for line in of_server(files))


@pytest.mark.parametrize(("days", "words"), [(-1, "FAIL certificate"), (3, "warn certificate")])
def test_time_is_told(files, days, words) -> None:
    (line,) = lines(authority(self_signed(files, "old", days)))
    assert line.startswith(words) and ("expired" if days < 0 else "expires in 2 days") in line


def test_keys_that_flower_does_not_take(files) -> None:
    (line,) = lines(node_key(files / "server.key"))
    assert line.startswith("FAIL") and "ssh-keygen -t ecdsa" in line
    (line,) = lines(node_key(files / "none"))
    assert "cannot be read" in line
    key = files / "locked"
    command = ["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "secret", "-f", str(key)]
    subprocess.run(command, check=True)
    assert "without a password" in lines(node_key(key))[0]
