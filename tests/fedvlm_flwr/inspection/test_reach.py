"""Clocks, proxies and what a SuperLink shows; a SuperLink's answers from a small TLS server."""

import ssl
import threading
import time
from collections.abc import Iterator
from email.message import Message
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.loopback import make_keys
from fedvlm_flwr.inspection.reach import clock, proxy, superlink


class Answer(BaseHTTPRequestHandler):
    """The Fleet API is there; the rest as `open_to` says."""

    open_to: tuple[str, ...] = ()

    def do_GET(self) -> None:
        self.send_response(200 if self.path in self.open_to else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_keys(folder)
    return folder


@pytest.fixture
def address(certificates, monkeypatch) -> Iterator[str]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def lines(findings) -> list[str]:
    return [f"{finding.level} {finding.text}" for finding in findings]


def test_a_superlink_behind_its_reverse_proxy_is_good(address, certificates) -> None:
    findings = lines(superlink(address, certificates / "ca.crt"))
    assert len(findings) == 2 and all(line.startswith("ok ") for line in findings)


def test_an_open_control_api_is_told(address, certificates, monkeypatch) -> None:
    monkeypatch.setattr(Answer, "open_to", ("/openapi.json",))
    assert "warn" in lines(superlink(address, certificates / "ca.crt"))[-1]
    assert "deploy/nginx.conf" in lines(superlink(address, certificates / "ca.crt"))[-1]


def test_who_is_not_reached(address, certificates, tmp_path) -> None:
    (line,) = lines(superlink(address, None))
    assert line.startswith("FAIL") and "name the CA that has signed" in line
    (line,) = lines(superlink("127.0.0.1:9", certificates / "ca.crt"))
    assert line.startswith("FAIL") and "is it up" in line
    (line,) = lines(superlink(address, tmp_path / "none"))
    assert "cannot be used" in line


@pytest.mark.parametrize(
    ("ahead", "level"), [(0, "ok"), (-200, "ok"), (60, "FAIL"), (-400, "FAIL")]
)
def test_clocks(ahead, level) -> None:
    headers = Message()
    headers["Date"] = formatdate(time.time() - ahead, usegmt=True)
    (finding,) = clock(headers)
    assert finding.level == level


def test_a_proxy_that_takes_local_traffic_fails(monkeypatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    assert "NO_PROXY=127.0.0.1,localhost" in lines(proxy())[0]
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    assert not lines(proxy())
