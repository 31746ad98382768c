"""What deploy/nginx.conf does, in some lines: TLS in front of a SuperLink, one path let through."""

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deploy.loopback import Server

PASSED = "/v1/fleet/"
HOP = {"connection", "transfer-encoding", "content-length", "host"}


@contextmanager
def fleet_only(server: Server, keep: list[bytes] | None = None) -> Iterator[str]:
    """The address of a reverse proxy that lets sites reach the Fleet API and nothing else.

    Args:
        keep: takes every byte that a site sends.
    """
    trusted = ssl.create_default_context(cafile=str(server.certificates / "ca.crt"))

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if keep is not None:
                keep.extend([self.path.encode(), str(self.headers).encode(), body])
            if not self.path.startswith(PASSED):
                self._answer(404, [], b"")
                return
            upstream = http.client.HTTPSConnection(server.address, context=trusted)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())
            upstream.close()

        do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for key, value in headers:
                if key.lower() not in HOP:
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificates / "server.pem", server.certificates / "server.key")
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
