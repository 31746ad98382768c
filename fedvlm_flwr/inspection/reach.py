"""Whether a site reaches the SuperLink, what else it reaches there, and the clocks of the two."""

import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path

from fedvlm_flwr.engines.actors.environment import proxied
from fedvlm_flwr.findings import Finding
from fedvlm_flwr.processes import listens

SECONDS = 10.0
# Flower refuses a site's messages that are signed later than now, or longer ago.
MOST_AHEAD, MOST_BEHIND = 5.0, 300.0
DIRECT = (
    "node keys protect nothing while sites reach the Control API: whoever has the CA's file can "
    "register a key of his own; put a reverse proxy in between (deploy/nginx.conf)"
)


def superlink(address: str, ca: Path | None) -> Iterator[Finding]:
    """The SuperLink as the site sees it: TLS, clock, and that only the Fleet API is open.

    Args:
        ca: the CA's certificate; None: the system's own authorities.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as error:
        yield Finding("FAIL", f"the CA {ca} cannot be used ({error}); name its file")
        return
    try:
        headers, _ = _get(f"https://{address}/v1/fleet/", context)
        _, status = _get(f"https://{address}/openapi.json", context)
    except OSError as error:
        yield Finding("FAIL", f"the SuperLink at {address} is not reached: {_cure(error)}")
        return
    yield Finding("ok", f"the SuperLink at {address} answers, with a certificate of that CA")
    yield from clock(headers)
    if status == 200:
        yield Finding("warn", f"{address} shows its Control API to this machine: {DIRECT}")


def clock(headers: Message) -> Iterator[Finding]:
    """This machine's clock beside the server's, by the date of an answer."""
    try:
        ahead = time.time() - parsedate_to_datetime(str(headers["Date"])).timestamp()
    except (TypeError, ValueError):
        yield Finding("warn", "the server's answer has no date: look at both clocks yourself")
        return
    if -MOST_BEHIND < ahead < MOST_AHEAD:
        yield Finding("ok", f"the clock is within {abs(ahead) + 1:.0f} s of the server's")
        return
    side = "ahead of" if ahead > 0 else "behind"
    yield Finding(
        "FAIL",
        f"the clock is {abs(ahead):.0f} s {side} the server's, and Flower refuses what is signed "
        f"{MOST_AHEAD:.0f} s ahead or {MOST_BEHIND:.0f} s behind; set it by NTP",
    )


def proxy() -> Iterator[Finding]:
    """Whether the site's own traffic would go through a proxy."""
    name = proxied(os.environ)
    if name is not None:
        yield Finding(
            "FAIL",
            f"{name} sends the site's local traffic to {os.environ[name]}: the SuperNode stays "
            "online and answers nothing; set NO_PROXY=127.0.0.1,localhost in its unit",
        )


def local_port(port: int, owner: str) -> Iterator[Finding]:
    """Whether a port is taken, which it is while its owner runs."""
    if listens(port):
        yield Finding("ok", f"port {port} is taken; if not by the {owner}, give that another one")
    else:
        yield Finding("ok", f"port {port} is free for the {owner}")


def installation() -> Iterator[Finding]:
    """Whether Flower would install every dependency for each run."""
    name = "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"
    if os.environ.get(name) != "1":
        yield Finding(
            "warn", f"Flower installs every dependency for each run unless {name}=1; set it there"
        )


def _get(url: str, context: ssl.SSLContext) -> tuple[Message, int]:
    """The headers and the status of an answer, whatever status that is."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS, context=context) as answer:  # noqa: S310
            return answer.headers, answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.headers, error.code


def _cure(error: OSError) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"{reason.verify_message}; name the CA that has signed its certificate, and its name"
    if isinstance(reason, ssl.SSLError):
        return f"{reason.reason}; does it speak TLS there? (`--insecure` on one side only)"
    return f"{reason}; is it up, is the firewall open, is HTTPS_PROXY set where you need one?"
