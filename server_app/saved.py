"""A run's checkpoint as it is read back: the newest that is whole, by its checksums."""

import json
import re
from dataclasses import dataclass
from typing import Any

from fedvlm_flwr.arrays import Arrays, section
from fedvlm_flwr.errors import DamagedRun, RunError
from fedvlm_flwr.run_folder import CHECKPOINT, RunFolder
from fedvlm_flwr.sealed import is_whole
from fedvlm_flwr.tensor_files import DamagedFile, load_tensors
from strategies.core.state import ServerState

FORMAT = 3
SHARED, SERVER, PREVIOUS = "shared/", "server/", "previous/"
FOLDER = "checkpoints"
EARLIER = "checkpoint.earlier.json"


@dataclass(frozen=True)
class Saved:
    """A checkpoint as read back.

    Attributes:
        run: the run's id, under which clients save their private state.
        finished: whether nothing is left to do.
        memory: what the other callbacks must know again.
        previous: the previous stages' result.
        damage: what is wrong with the newest checkpoint, where this is the one before; else empty.
    """

    run: str
    stage: int
    finished: bool
    state: ServerState
    memory: dict[str, Any]
    previous: Arrays
    damage: str = ""


def tensor_file(stage: int, number: int) -> str:
    """The name of a round's tensor file."""
    return f"stage_{stage}_round_{number:04d}.safetensors"


def tensor_facts(run: str, stage: int, number: int) -> dict[str, str | int]:
    """What a tensor file says of itself."""
    return {"run": run, "stage": stage, "round": number}


def read_checkpoint(folder: RunFolder) -> Saved | None:
    """The checkpoint of a run folder; None where the run was ended before its first one.

    Raises:
        RunError: neither the newest nor the one before is whole, or they are of another format;
            names the files.
    """
    damages: list[str] = []
    for name in (CHECKPOINT, EARLIER):
        if not (folder.path / name).exists():
            continue
        try:
            return _read(folder, name, "; ".join(damages))
        except (DamagedFile, DamagedRun) as damage:
            damages.append(str(damage))
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            damages.append(f"{folder.path / name} cannot be read ({error})")
    if damages:
        raise RunError(f"{'; '.join(damages)}; start a new run.")
    return None


def _read(folder: RunFolder, name: str, damage: str) -> Saved:
    path = folder.path / name
    facts = json.loads(path.read_text(encoding="utf-8"))
    if facts["format"] != FORMAT:
        raise RunError(
            f"{path} has format {facts['format']} and this version reads {FORMAT}; resume with the "
            "version that wrote it."
        )
    if not is_whole(facts):
        raise DamagedFile(f"{path} has changed since it was written (its checksum differs)")
    run, stage, number = facts["run"], int(facts["stage"]), int(facts["round"])
    if not re.fullmatch(r"[0-9a-f]{32}", run) or facts["tensors"] != tensor_file(stage, number):
        raise DamagedFile(f"{path} is none that this version writes")
    folder.require_metrics(facts["callbacks"].get("MetricsWriter", {}))
    tensors = load_tensors(
        folder.path / FOLDER / facts["tensors"], tensor_facts(run, stage, number)
    )
    saved_rounds = {int(client): int(number) for client, number in facts["saved_rounds"].items()}
    state = ServerState(
        section(tensors, SHARED),
        section(tensors, SERVER),
        number,
        bool(facts["scored"]),
        saved_rounds,
        {int(client): dict(numbers) for client, numbers in facts["holds"].items()},
    )
    previous = section(tensors, PREVIOUS)
    memory: dict[str, Any] = facts["callbacks"]
    return Saved(run, stage, bool(facts["finished"]), state, memory, previous, damage)
