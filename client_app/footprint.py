"""What a client's training takes on the device: told before anything runs, or tried out."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from torch import nn

from client_app.local import train_locally
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.planning.live_bytes import LiveBytes
from fedvlm_flwr.seeding import stream
from strategies import load_hook
from strategies.core.client_hook import ClientHook, RoundInput

STEPS = 3  # of the optimiser: its state is there after the first


def hook_bytes(
    config: Config, parameters: Mapping[str, nn.Parameter], shared: Collection[str]
) -> int:
    """Bytes of the tensors that the client hook makes at the start of a round and keeps.

    Args:
        parameters: what is trained; may lie on the meta device.
        shared: names of those that travel.
    """
    with LiveBytes(parameters.values()) as live:
        hook = _started(config, parameters, shared)
        held: int = live.now
        del hook
    return held


def try_out(config: Config, model: Resident, stage: int, found: Sequence[Example]) -> None:
    """Some steps of local training in a stage, as a client takes them.

    Raises:
        DivergedError: the loss is not finite.
    """
    parts = config.tuning.stages[stage].shared
    parameters = model.place(stage, model.initial[stage], {})
    shared = [name for name in parameters if name.partition(".")[0] in parts]
    hook = _started(config, parameters, shared)
    order = stream(config.seed, "batches")
    train_locally(model, parameters, found, config.train, STEPS, config.train.lr, order, hook)


def _started(
    config: Config, parameters: Mapping[str, nn.Parameter], shared: Collection[str]
) -> ClientHook:
    hook = load_hook(config.algorithm)
    # Zeros that take no room, whatever their shape.
    zeros: Arrays = {
        name: np.broadcast_to(np.float32(0), tuple(parameters[name].shape)) for name in shared
    }
    hook.on_start(parameters, RoundInput(zeros, extra=zeros))
    return hook
