"""The model of a finished run: the base with the run's result in it, ready to answer."""

from collections.abc import Callable
from dataclasses import dataclass

from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config.tuning import FROM_THE_BASE
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.models.resident import Resident, choose_device
from fedvlm_flwr.models.saved_adapter import read_adapter, split
from fedvlm_flwr.process import Process
from fedvlm_flwr.run_folder import ADAPTER
from fedvlm_flwr.takehome.finished import FinishedRun

# The trained tensors of a client's own model, given those that the run shares.
ClientModel = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class RunModel:
    """A run's model in memory.

    Attributes:
        run: that it is the result of.
        model: the resident model, with the result in it.
        arrays: the result, by stable name.
        residual: factors of a frozen term beside the base; empty: there is none.
        client: whose own model it is; None: everybody's.
    """

    run: FinishedRun
    model: Resident
    arrays: Arrays
    residual: Arrays
    client: int | None = None


def load_run_model(
    run: FinishedRun,
    process: Process,
    device: str | None = None,
    client: tuple[int, ClientModel] | None = None,
) -> RunModel:
    """Load the base of a run and put the run's result into it.

    Args:
        process: holds the model; what is done with one that is to stay as it is goes elsewhere.
        device: as `engine.device`; None: as the run has it.
        client: whose own model is wanted, and what gives its tensors.

    Raises:
        RunError: the run leaves a part of its model with its clients and none is named, its
            adapter is damaged, or the base is another one than it was trained on.
        ModelError: the base is not at hand.
    """
    config = run.config
    model = process.model(config, choose_device(device or config.engine.device))
    _require_same_base(run, model)
    folder = run.folder.path / ADAPTER
    whole = read_adapter(model.vlm, model.first, folder)
    arrays, residual = split(whole, model.first, config.tuning)
    if client is not None:
        arrays = arrays | client[1](arrays)
    _require_whole(run, model, arrays)
    stage = len(model.stages) - 1
    model.place(stage, {name: arrays[name] for name in model.initial[stage]}, arrays, residual)
    return RunModel(run, model, arrays, residual, client[0] if client else None)


def _require_same_base(run: FinishedRun, model: Resident) -> None:
    """Refuse a base that has changed since.

    Of an init that takes its start out of the base nothing can be told: what is left of the base
    differs in its last bits from machine to machine.
    """
    if run.base is None or run.config.tuning.lora.init in FROM_THE_BASE:
        return
    if model.base_fingerprint != run.base:
        raise RunError(
            f"The base of model={run.config.model.name} is not the one that the run in "
            f"{run.folder.path} was trained on (fingerprint {model.base_fingerprint[:12]}, and it "
            f"was {run.base[:12]}); bring that one back."
        )


def _require_whole(run: FinishedRun, model: Resident, arrays: Arrays) -> None:
    """Refuse a result of which a part stays with the clients, or has been lost."""
    missing = sorted(model.first.keys() - arrays.keys())
    if lost := [name for name in missing if name not in run.private]:
        raise RunError(
            f"{run.folder.path / ADAPTER} lacks '{lost[0]}', which the run has trained; restore "
            "the folder."
        )
    if missing:
        config = run.config
        raise RunError(
            f"The run in {run.folder.path} has no model of all: algorithm={config.algorithm.name} "
            f"with tuning={config.tuning.name} leaves {len(missing)} trained tensors with each "
            f"client ('{missing[0]}'); name one with --client K."
        )
