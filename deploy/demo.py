"""A deployed federation on this machine: three sites, TLS, node keys, a run, its result, the end.

usage: python -m deploy.demo [FOLDER]

What is left in FOLDER (a new temporary one, if it is not given): the homes and logs of the server,
the sites and the user, and the user's run folder.
"""

import os
import re
import sys
import tempfile
import time
from pathlib import Path

from deploy.loopback import Site, run, started, superlink
from deploy.trial_data import WORDS, write_sites

RUN = ("experiment=smoke", "algorithm=scaffold", "num_clients=3", *WORDS)


def main(arguments: list[str]) -> int:
    """Start all of it, run, and stop all of it."""
    began = time.monotonic()
    folder = Path(arguments[0]) if arguments else Path(tempfile.mkdtemp(prefix="fedvlm-demo-"))

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {text}", flush=True)

    folders = write_sites(folder / "records")
    say(f"three hospitals' records: {', '.join(str(path) for path in folders.values())}")
    with superlink(folder) as server:
        say(f"SuperLink at {server.address}, with TLS and node authentication")
        sites = [
            Site(server, name, node_config(server.folder, name, path), resident=True)
            for name, path in folders.items()
        ]
        with started(*sites):
            say(f"sites online: {', '.join(folders)}")
            result = run(server, *RUN, name="demo")
            print(result.output, flush=True)
        say("sites stopped")
    say("all stopped")
    if result.status == 0:
        loads = sum(loads_of(folder / "states" / name) for name in folders)
        say(f"base models loaded at the sites: {loads}; result: {result.folder.path}")
    return result.status


def node_config(folder: Path, name: str, records: Path) -> str:
    """What a site's SuperNode is started with."""
    return f'site="{name}" data-root="{records}" state-dir="{folder / "states" / name}"'


def loads_of(state: Path) -> int:
    """How often a site has loaded a base model, by what it has sent: its log has every value."""
    lines = (state / "audit.jsonl").read_text(encoding="utf-8")
    return max((int(number) for number in re.findall(r'"model_loads": (\d+)', lines)), default=0)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
