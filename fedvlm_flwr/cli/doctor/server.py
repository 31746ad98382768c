"""Look at the host of a federation's SuperLink; what would fail there, and how to mend it.

usage: fedvlm doctor server [WORD=VALUE ...] [KEY=VALUE ...]

What is given is looked at, as the user of the SuperLink and in its environment:

    certificate, key, ca    files of the SuperLink, or of the reverse proxy
    host                    the name by which sites call it
    port                    of the SuperLink (default 8000)
    database                its --database

KEYs are those of the run. The exit status is 1 if a line says FAIL.
"""

import shlex
from collections.abc import Iterator
from functools import partial

from fedvlm_flwr.cli.doctor.base import (
    ELSEWHERE,
    composed,
    devices,
    path_of,
    port_of,
    read,
    report,
    versions,
)
from fedvlm_flwr.cli.doctor.site import sources
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.findings import Finding
from fedvlm_flwr.inspection import certificates, places, reach
from fedvlm_flwr.run_folder import runs_root

WORDS = ("certificate", "key", "ca", "host", "database", "port")
PORT = "8000"


def main(arguments: list[str]) -> int:
    """Print the findings."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    return report([versions, sources, devices, *ELSEWHERE, partial(at_server, arguments)])


def at_server(arguments: list[str]) -> Iterator[Finding]:
    """What the SuperLink's host has.

    Raises:
        ConfigError: a word or a key is wrong.
    """
    words, keys = read(arguments, WORDS)
    config = composed(keys)
    yield from reach.installation()
    yield from reach.proxy()
    yield from reach.local_port(port_of(words, PORT), "SuperLink")
    files = [path_of(words, name) for name in ("certificate", "key", "ca")]
    if all(files):
        certificate, key, ca = filter(None, files)
        yield from certificates.server_certificate(certificate, key, ca, words.get("host"))
    elif any(files):
        raise ConfigError("certificate=, key= and ca= belong together; give all three, or none.")
    database = path_of(words, "database")
    if database is not None:
        yield from places.room(database.parent, "the SuperLink's database")
    yield from places.base(config, shlex.join(["fedvlm", "prepare", *keys]))
    yield from places.device(config.engine.device)
    yield from places.room(runs_root(config), "runs")
