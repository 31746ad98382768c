"""Look at a site of a deployed federation; what would fail there, and how to mend it.

usage: fedvlm doctor site [WORD=VALUE ...] [KEY=VALUE ...]

What is given is looked at, as the user of the SuperNode and in its environment:

    superlink   HOST:PORT of the server: reached, its certificate, its clock, what else it shows
    ca, key     files: the CA's certificate, the site's own key
    port        of the SuperNode's own API (default 9094)
    data-root, model-root, state-dir, device    as in the node-config

KEYs are those of the run, as whoever starts it has told. The exit status is 1 if a line says FAIL.
"""

import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

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
from fedvlm_flwr.config.compose import quoted
from fedvlm_flwr.findings import Finding
from fedvlm_flwr.handshake import source
from fedvlm_flwr.inspection import certificates, places, reach
from fedvlm_flwr.paths import client_states, fedvlm_home, models_in

ROOT = "data-root"
WORDS = ("superlink", "ca", "key", ROOT, "model-root", "state-dir", "device", "port")
PORT = "9094"


def main(arguments: list[str]) -> int:
    """Print the findings."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    return report([versions, sources, devices, *ELSEWHERE, partial(at_site, arguments)])


def sources() -> Iterator[Finding]:
    """What the server compares before the first round."""
    yield Finding("ok", f"fedvlm_flwr's source {source()[:12]} (the same everywhere)")


def at_site(arguments: list[str]) -> Iterator[Finding]:
    """What a site has, and whom it reaches.

    Raises:
        ConfigError: a word or a key is wrong.
    """
    words, keys = read(arguments, WORDS)
    folder = path_of(words, ROOT)
    root = [f"dataset.root={quoted(str(folder.resolve()))}"] if folder else []
    config = composed([*keys, *root])
    yield from reach.installation()
    yield from reach.proxy()
    yield from reach.local_port(port_of(words, PORT), "SuperNode")
    ca = path_of(words, "ca")
    if ca is not None:
        yield from certificates.authority(ca)
    if "key" in words:
        yield from certificates.node_key(Path(words["key"]).expanduser())
    if "superlink" in words:
        yield from reach.superlink(words["superlink"], ca)
    if folder:
        yield from places.records(config, f"data-root {folder}")
    own = [word for word in arguments if word.startswith("model-root=")]
    command = shlex.join(["fedvlm", "site", "prepare", *own, *keys])
    with models_in(words.get("model-root")):
        yield from places.base(config, command)
    yield from places.device(words.get("device", config.engine.device))
    yield from places.room(fedvlm_home(), "caches")
    yield from places.room(path_of(words, "state-dir") or client_states(), "states of runs")
