"""Look at this machine: versions, devices, ports, caches; what would fail, and how to mend it.

usage: fedvlm doctor [KEY=VALUE ...]
       fedvlm doctor site [WORD=VALUE ...] [KEY=VALUE ...]
       fedvlm doctor server [WORD=VALUE ...] [KEY=VALUE ...]

Keys are those of `fedvlm run`: the machine is looked at for a run with them. A site of a deployed
run, and the server of one, are looked at where they are; what is not given is not looked at.

    site    superlink=HOST:PORT ca=FILE key=FILE data-root=FOLDER model-root=FOLDER
            state-dir=FOLDER device=cuda port=9094 (of the SuperNode's own API)
    server  certificate=FILE key=FILE ca=FILE host=NAME (as sites call it) database=FILE port=8000

Each line is `ok`, `warn` or `FAIL`. The exit status is 1 if a line says FAIL.
"""

import importlib.metadata
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil

from fedvlm_flwr.bundle import COMPONENTS, hiding
from fedvlm_flwr.cli.site import read_words
from fedvlm_flwr.config import Config
from fedvlm_flwr.config.compose import quoted
from fedvlm_flwr.errors import ConfigError, FedVLMError
from fedvlm_flwr.findings import (
    ENVIRONMENT,
    LEAST_DISK,
    Finding,
    Level,
    network,
    packages,
    resources,
    temporary,
)
from fedvlm_flwr.handshake import source
from fedvlm_flwr.inspection import certificates, places, reach
from fedvlm_flwr.models import prepared_model
from fedvlm_flwr.paths import client_states, conf_dir, fedvlm_home, models_in, writable_home
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import runs_root

NEEDED = ("flwr", "ray", "torch", "transformers", "peft", "datasets", "hydra-core", "omegaconf")
OPTIONAL = {"bitsandbytes": "a 4-bit or 8-bit base model", "tensorboard": "TensorBoard curves"}
ELSEWHERE = (temporary, packages, network)  # of a machine's environment, what concerns every place
SITE = ("superlink", "ca", "key", "data-root", "model-root", "state-dir", "device", "port")
SERVER = ("certificate", "key", "ca", "host", "database", "port")
FREE_DISK, FREE_MEMORY = 2e9, 3e9  # bytes: caches and a run; a server and two small clients


def main(arguments: list[str]) -> int:
    """Print the findings."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    failed = False
    for check in checks(arguments):
        for finding in check():
            print(f"{finding.level:<5} {finding.text}", flush=True)
            failed |= finding.level == "FAIL"
    return 1 if failed else 0


def checks(arguments: list[str]) -> list[Callable[[], Iterator[Finding]]]:
    """What is looked at."""
    if arguments[:1] == ["site"]:
        return [versions, sources, devices, *ELSEWHERE, partial(at_site, arguments[1:])]
    if arguments[:1] == ["server"]:
        return [versions, sources, devices, *ELSEWHERE, partial(at_server, arguments[1:])]
    return [versions, devices, *ENVIRONMENT, partial(configured, arguments)]


def sources() -> Iterator[Finding]:
    """What the server compares before the first round."""
    yield Finding("ok", f"fedvlm_flwr's source {source()[:12]} (the same everywhere)")


def at_site(arguments: list[str]) -> Iterator[Finding]:
    """What a site has, and whom it reaches.

    Raises:
        ConfigError: a word or a key is wrong.
    """
    words, config = read(arguments, SITE, "data-root")
    yield from reach.installation()
    yield from reach.proxy()
    yield from reach.local_port(port_of(words, "9094"), "SuperNode")
    ca = path_of(words, "ca")
    if ca is not None:
        yield from certificates.authority(ca)
    if "key" in words:
        yield from certificates.node_key(Path(words["key"]).expanduser())
    if "superlink" in words:
        yield from reach.superlink(words["superlink"], ca)
    if "data-root" in words:
        yield from places.records(config, f"data-root {words['data-root']}")
    own = [word for word in arguments if word.startswith("model-root=")]
    command = shlex.join(["fedvlm", "site", "prepare", *own, *keys_of(arguments)])
    with models_in(words.get("model-root")):
        yield from places.base(config, command)
    yield from places.device(words.get("device", config.engine.device))
    yield from places.room(fedvlm_home(), "caches")
    yield from places.room(path_of(words, "state-dir") or client_states(), "states of runs")


def at_server(arguments: list[str]) -> Iterator[Finding]:
    """What the SuperLink's host has.

    Raises:
        ConfigError: a word or a key is wrong.
    """
    words, config = read(arguments, SERVER)
    yield from reach.installation()
    yield from reach.proxy()
    yield from reach.local_port(port_of(words, "8000"), "SuperLink")
    files = [path_of(words, name) for name in ("certificate", "key", "ca")]
    if all(files):
        certificate, key, ca = filter(None, files)
        yield from certificates.server_certificate(certificate, key, ca, words.get("host"))
    elif any(files):
        raise ConfigError("certificate=, key= and ca= belong together; give all three, or none.")
    database = path_of(words, "database")
    if database is not None:
        yield from places.room(database.parent, "the SuperLink's database")
    yield from places.base(config, shlex.join(["fedvlm", "prepare", *keys_of(arguments)]))
    yield from places.device(config.engine.device)
    yield from places.room(runs_root(config), "runs")


def read(
    arguments: list[str], names: tuple[str, ...], root: str = ""
) -> tuple[dict[str, str], Config]:
    """The words of a place, and the configuration of the keys among them.

    Args:
        names: of the words.
        root: the word that stands for `dataset.root`.
    """
    own = [word for word in arguments if word.partition("=")[0] in names]
    words, keys = read_words(own, *names), keys_of(arguments)
    if root in words:
        keys.append(f"dataset.root={quoted(str(Path(words[root]).expanduser().resolve()))}")
    return words, this_process().compose({"overrides": shlex.join(keys)})


def keys_of(arguments: list[str]) -> list[str]:
    """The words that are keys of a run's configuration."""
    return [w for w in arguments if w.partition("=")[0] not in (*SITE, *SERVER)]


def path_of(words: dict[str, str], name: str) -> Path | None:
    """The path that a word has; None where it is not given."""
    return Path(words[name]).expanduser() if name in words else None


def port_of(words: dict[str, str], usual: str) -> int:
    """The port that the words name.

    Raises:
        ConfigError: it is none.
    """
    text = words.get("port", usual)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"port={text} is no port; give a number from 1 to 65535.")
    return int(text)


def versions() -> Iterator[Finding]:
    """Python and the packages."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding(
        "ok" if sys.version_info >= (3, 11) else "FAIL", f"Python {python} (3.11 or newer)"
    )
    for name in NEEDED:
        try:
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("FAIL", f"{name} is not installed; run `pip install fedvlm-flwr`")
    for name, purpose in OPTIONAL.items():
        try:
            yield Finding("ok", f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding("ok", f"{name} is not installed (needed only for {purpose})")


def devices() -> Iterator[Finding]:
    """Cores, memory and GPUs."""
    import torch

    free = psutil.virtual_memory().available
    yield Finding("ok", f"{os.cpu_count()} CPU cores")
    yield Finding(
        "ok" if free > FREE_MEMORY else "warn",
        f"{free / 1e9:.1f} GB of memory free (the default run takes about {FREE_MEMORY / 1e9:.0f})",
    )
    if not torch.cuda.is_available():
        yield Finding("ok", "no CUDA device: runs use the CPU")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        yield Finding("ok", f"GPU {index}: {facts.name}, {facts.total_memory / 1e9:.0f} GB")


def configured(words: list[str]) -> Iterator[Finding]:
    """The cache folder, the data, the model and the engine of a run with these words."""
    yield from _app(conf_dir().parent)
    try:
        yield from _home()
        if any(map(hiding, COMPONENTS)):
            return  # without ours nothing can be composed
        process = this_process()
        config = process.compose({"overrides": shlex.join(words)})
        yield from resources(config.engine)
        data = process.data(config)
        yield Finding("ok", f"dataset {data.name}: {len(data.train)} training records")
        choice = config.model
        folder = prepared_model(choice)
        text = (
            f"model {choice.name}: {folder}"
            if folder
            else (
                f"model {choice.name} is not prepared; the first run does it, or `fedvlm prepare`"
            )
        )
        yield Finding("ok", text)
    except FedVLMError as error:
        yield Finding("FAIL", str(error))


def _home() -> Iterator[Finding]:
    """The cache folder: one to write to, or one that can be read and another for what runs keep."""
    home, own = fedvlm_home(), writable_home()
    existing = next(path for path in (own, *own.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        yield Finding("FAIL", f"{existing} is no folder to write to; set FEDVLM_HOME to one")
        return
    if own != home:
        yield Finding(
            "warn",
            f"{home} is not yours to write to: what is prepared there is used, what runs keep "
            f"goes to {own}; set output_dir for runs, or FEDVLM_HOME to a folder of your own",
        )
    free = shutil.disk_usage(existing).free
    level: Level = "ok" if free > FREE_DISK else "warn" if free > LEAST_DISK else "FAIL"
    room = "" if level == "ok" else "; make room there, or set FEDVLM_HOME to another disk"
    yield Finding(level, f"caches and runs in {own}, {free / 1e9:.1f} GB free{room}")


def _app(folder: Path) -> Iterator[Finding]:
    missing = [name for name in ("flwr", "flower-superlink") if not _command(name)]
    for name in missing:
        yield Finding("FAIL", f"the command {name} is missing; install flwr[simulation]")
    yield Finding("ok", f"configuration in {folder}")


def _command(name: str) -> bool:
    return Path(sys.executable).with_name(name).exists() or shutil.which(name) is not None
