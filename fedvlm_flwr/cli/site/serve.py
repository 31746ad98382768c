"""Work the messages of this site in one long-lived process: the base model loads once.

usage: fedvlm site serve [address=HOST:PORT] [secret=FILE] [state-dir=FOLDER]

It takes the place of `flower-superexec` beside a SuperNode that starts no processes of its own:

    flower-supernode --isolation process --superexec-auth-secret-file FILE ... &
    fedvlm site serve secret=FILE

    address    the SuperNode's Runtime API, its --host and --port (default 127.0.0.1:9094)
    secret     the file of the SuperNode's --superexec-auth-secret-file; without one anybody on
               this machine can take its tasks
    state-dir  as in the SuperNode's node-config: the site-policy.yaml in it is checked at the start

The app that is installed here answers; the code that a server sends along is not run. One line is
printed for each message. A SuperNode that is not there yet, or is started anew, is waited for;
SIGTERM and Ctrl-C end the process. Where the installed Flower is none that it knows, leave out
`--isolation process`: the SuperNode then starts a process for each message, with equal numbers.
"""

import importlib
import importlib.metadata
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from fedvlm_flwr.cli.site import read_words
from fedvlm_flwr.engines.actors.environment import without_proxy
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.process import this_process

ADDRESS = "127.0.0.1:9094"
PORTS = 65_536
PLACE = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._\-]{1,253}):(?P<port>[0-9]{1,5})")


def main(arguments: list[str]) -> int:
    """Serve until the process is told to end."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    values = read_words(arguments, "address", "secret", "state-dir")
    secret = read_secret(Path(values["secret"])) if "secret" in values else None
    if "state-dir" in values:
        from client_app.policy import Policy

        Policy.read(Path(values["state-dir"]))
    serve(values.get("address", ADDRESS), secret)
    return 0


def serve(address: str, secret: bytes | None) -> None:
    """Work the tasks of the SuperNode at an address with the installed ClientApp.

    Raises:
        ConfigError: the address is none.
        RunError: the installed Flower is another one, or the SuperNode refuses this process.
    """
    match = PLACE.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < PORTS:
        raise ConfigError(f"address={address} is no HOST:PORT; write {ADDRESS} or the like.")
    os.environ |= without_proxy(os.environ, match["host"].strip("[]"))
    try:
        from fedvlm_flwr.residence.flower import SuperNode
        from fedvlm_flwr.residence.inbox import Inbox
        from fedvlm_flwr.residence.loop import Residence
        from fedvlm_flwr.residence.outbox import Outbox
    except ImportError as error:
        raise RunError(
            f"Flower {importlib.metadata.version('flwr')} lacks what a resident process needs "
            f"({error}); install flwr>=1.41,<1.43, or start the SuperNode without "
            "`--isolation process`: it then starts a process for each message, with equal numbers."
        ) from error
    from client_app.app import app

    files = (Inbox.of(address), Outbox.of(address))
    residence = Residence(SuperNode(address, secret), app, this_process(), *files, printing())
    residence.stop_at_signals()
    warm()
    residence.serve()


def warm() -> None:
    """Do what would take longer than a short round before the first message comes.

    The code's fingerprint is taken while the files are those that are imported here.
    """
    importlib.import_module("client_app.worker")
    from fedvlm_flwr.handshake import source

    source()


def read_secret(path: Path) -> bytes:
    """The secret that SuperNode and resident process share: the file's very bytes.

    Raises:
        ConfigError: the file cannot be read, or is empty.
    """
    try:
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"secret={path} cannot be read ({error.strerror}); name the file of the SuperNode's "
            "--superexec-auth-secret-file."
        ) from error
    if not secret:
        raise ConfigError(f"secret={path} is empty; write some random bytes into it.")
    return secret


def printing() -> Callable[[str], None]:
    """What prints a line with its time; one that a full disk does not take is no failure."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    lines = logging.Logger("fedvlm site serve", logging.INFO)
    lines.addHandler(handler)
    return lines.info
