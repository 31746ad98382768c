"""What an algorithm sends and is sent in a round, told before anything runs."""

from dataclasses import dataclass

import numpy as np

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config
from strategies import load_strategy
from strategies.core.federation import Federation

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Traffic:
    """The arrays of a round's messages, by name and shape.

    Attributes:
        shared: the trained tensors that travel, down and up.
        down, up: what the algorithm sends and is sent beside them.
        clients: those that take part in a round.
    """

    shared: Shapes
    down: Shapes
    up: Shapes
    clients: int


def traffic(config: Config, stage: int, trained: Shapes) -> Traffic:
    """What travels in a round of a stage.

    Args:
        trained: the tensors that the stage trains.

    Raises:
        ConfigError: the algorithm refuses its parameters or the number of clients.
    """
    federation = Federation(
        num_clients=config.num_clients,
        clients_per_round=config.cohort_size,
        min_replies=config.replies_needed,
        seed=config.seed,
        stage=stage,
        wire_dtype=config.wire.dtype,
        share=config.tuning.stages[stage].shared,
    )
    strategy = load_strategy(config.algorithm, federation)
    # Zeros that take no room, whatever their shape.
    arrays: Arrays = {n: np.broadcast_to(np.float32(0), shape) for n, shape in trained.items()}
    strategy.begin(arrays)
    return Traffic(
        shared=_shapes(strategy.state.arrays),
        down=_shapes(strategy.broadcast()),
        up=_shapes(strategy.expected_extra()),
        clients=len(strategy.choose(1)),
    )


def _shapes(arrays: Arrays) -> Shapes:
    return {name: values.shape for name, values in arrays.items()}
