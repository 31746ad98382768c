"""Look at this machine: versions, devices, ports, caches; what would fail, and how to mend it.

usage: fedvlm doctor [KEY=VALUE ...]
       fedvlm doctor site ...      at a site of a deployed federation (--help tells more)
       fedvlm doctor server ...    at the host of its SuperLink

Keys are those of `fedvlm run`: the machine is looked at for a run with them.
Each line is `ok`, `warn` or `FAIL`. The exit status is 1 if a line says FAIL.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fedvlm_flwr.bundle import COMPONENTS, hiding
from fedvlm_flwr.cli.doctor.base import devices, report, versions
from fedvlm_flwr.contracts import Command
from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.findings import ENVIRONMENT, LEAST_DISK, Finding, Level, resources
from fedvlm_flwr.models import prepared_model
from fedvlm_flwr.paths import conf_dir, fedvlm_home, writable_home
from fedvlm_flwr.plugin_folder import plugin_folder
from fedvlm_flwr.plugins import available, load_as
from fedvlm_flwr.process import this_process

FREE_DISK = 2e9  # bytes: caches and a run


def main(arguments: list[str]) -> int:
    """Print the findings."""
    if arguments and arguments[0] in available(__name__):
        return load_as(Command, __name__, arguments[0], "place").main(arguments[1:])
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    return report([versions, devices, *ENVIRONMENT, partial(configured, arguments)])


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
    plugins = plugin_folder()
    if plugins is not None:
        yield Finding("ok", f"modules and choices of your own in {plugins}")


def _command(name: str) -> bool:
    return Path(sys.executable).with_name(name).exists() or shutil.which(name) is not None
