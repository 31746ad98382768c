"""Whether the machine, or the cluster, has what a client process is to be given."""

import subprocess
import time

from fedvlm_flwr.config import Engine
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.processes import script

ANSWER_SECONDS = 10.0  # of one attempt to reach a cluster


def require_resources(engine: Engine) -> None:
    """Refuse client processes that are to have more than this machine has.

    Raises:
        ConfigError: says what there is, and what to set.
    """
    share = engine.gpus_per_client
    # One is everywhere, and is not counted: Ray would be imported for it.
    if engine.cpus_per_client > 1 and engine.cpus_per_client > (cpus := num_cpus()):
        raise ConfigError(
            f"engine.cpus_per_client={engine.cpus_per_client}, but this machine has {cpus} CPU "
            f"cores; set it to at most {cpus}."
        )
    if share > 1 and share != int(share):
        raise ConfigError(
            f"engine.gpus_per_client={share:g} is more than one GPU and no whole number of them; "
            "Ray shares single GPUs only."
        )
    gpus = num_gpus() if share else 0
    if share > gpus:
        at_most = f"at most {gpus}, or to 0" if gpus else "0"
        raise ConfigError(
            f"engine.gpus_per_client={share:g}, but there are {gpus} GPUs here that torch can use; "
            f"set it to {at_most} to run on the CPU."
        )


def num_cpus() -> int:
    """Cores as Ray counts them, which knows the limits of a container."""
    from ray._private.utils import get_num_cpus

    return int(get_num_cpus())


def num_gpus() -> int:
    """GPUs that torch can use, of those that CUDA_VISIBLE_DEVICES names."""
    import torch

    return torch.cuda.device_count()


def require_cluster(address: str, seconds: float) -> None:
    """Wait until a Ray cluster answers.

    Args:
        address: `host:port`.
        seconds: the longest time to wait.

    Raises:
        RunError: none answers in that time.
    """
    command = [script("ray"), "health-check", "--address", address]
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, timeout=min(left, ANSWER_SECONDS)
            )
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
    raise RunError(
        f"No Ray cluster answers at engine.address={address} within engine.address_timeout="
        f"{seconds:g} s; start one there (`ray start --head`), or set engine.address=null for a "
        "Ray of the run's own."
    )
