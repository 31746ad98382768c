"""Fetch or prepare the base model of a run at this site, and say where it is.

usage: fedvlm site prepare [model-root=FOLDER] [KEY=VALUE ...]

Keys are those of the run, as whoever starts it has told: the base's folder is named by them.
model-root is that of the node-config; HF_HOME and FEDVLM_HOME must be those of the SuperNode.
The fingerprint that is printed at the end is what the server compares before the first round.
"""

import shlex

import torch
from rich.console import Console

from fedvlm_flwr.cli.prepare import prepare
from fedvlm_flwr.cli.site import read_words
from fedvlm_flwr.paths import models_in
from fedvlm_flwr.process import this_process

PLACE = "model-root"


def main(arguments: list[str]) -> int:
    """Prepare the base.

    Raises:
        ConfigError: a key is wrong.
        ModelError: the base cannot be fetched or made.
    """
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    own = [word for word in arguments if word.partition("=")[0] == PLACE]
    keys = [word for word in arguments if word not in own]
    process = this_process()
    config = process.compose({"overrides": shlex.join(keys)})
    with models_in(read_words(own, PLACE).get(PLACE)):
        prepare(config, Console())
        model = process.model(config, torch.device("cpu"))
    print(f"fingerprint of the base: {model.base_fingerprint[:12]}")
    return 0
