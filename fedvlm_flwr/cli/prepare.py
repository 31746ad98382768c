"""Prepare data and base model, so that a run starts at once.

usage: fedvlm prepare [KEY=VALUE ...]

Builds the tables of the dataset and pretrains the model, where they have to be made here; both are
cached in $FEDVLM_HOME (~/.cache/fedvlm_flwr). Keys are those of `fedvlm run`, e.g.
`fedvlm prepare model=tiny_llava`.
"""

import shlex
import time

from rich.console import Console
from rich.progress import Progress

from fedvlm_flwr.config import Config, compose
from fedvlm_flwr.data.clients import federated_data
from fedvlm_flwr.models import prepare_model


def main(arguments: list[str]) -> int:
    """Prepare what the configuration names."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    config = compose({"overrides": shlex.join(arguments)})
    console = Console()
    data = federated_data(config)
    console.print(
        f"dataset {config.dataset.name}: {len(data.public)} public, {len(data.train)} training and "
        f"{len(data.test)} test records",
        highlight=False,
    )
    prepare(config, console)
    return 0


def prepare(config: Config, console: Console) -> None:
    """Prepare the model, with a progress bar on a terminal."""
    choice, began = config.model, time.monotonic()
    with Progress(console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(f"preparing {choice.name}")
        folder = prepare_model(
            choice.name,
            choice.kind,
            choice.params,
            lambda done, total, _loss: bars.update(bar, completed=done, total=total),
        )
    where = folder or "taken from its checkpoint, nothing to prepare"
    console.print(
        f"model {choice.name}: {where} ({time.monotonic() - began:.1f} s)",
        highlight=False,
        soft_wrap=True,
    )
