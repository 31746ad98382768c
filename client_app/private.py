"""What stays with a client between rounds, on its own disk."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from client_app.state_files import Facts, load_state, save_state
from fedvlm_flwr.adapters import RESIDUAL, is_residual
from fedvlm_flwr.arrays import Arrays, float32, section
from fedvlm_flwr.errors import RequestError
from fedvlm_flwr.messages.request import ClientRequest

TENSORS, HOOK, ROUNDING = "tensors/", "hook/", "rounding/"
DEPOSIT = re.compile(r"([A-Za-z_]{1,40}(?:\.\d{1,6})?):(\d{1,9})")


@dataclass(frozen=True)
class OwnState:
    """What a client's round starts from.

    Attributes:
        tensors: trained ones that are not shared.
        hook: the algorithm's.
        rounding: what its last messages have left out of its changes.
    """

    tensors: Arrays = field(default_factory=dict)
    hook: Arrays = field(default_factory=dict)
    rounding: Arrays = field(default_factory=dict)


class PrivateState:
    """One client's files of one run: a safetensors file for each round it took part in.

    A round reads the file of the round that the server names, which is the newest one whose reply
    it took in. So a reply that was lost or left out, a round that is repeated and a resumed run all
    go on from what the server knows of. A file says whose and of which round it is, and has a
    checksum. Older files but one are removed once a newer one is in use.

    Args:
        folder: of the run, for all clients.
        run: the run's id.
    """

    def __init__(self, folder: Path, run: str, client: int, stage: int) -> None:
        self._run = folder
        self._folder = folder / f"client_{client}"
        self._stage = stage
        self._of_run: Facts = {"run": run, "stage": stage}
        self._own: Facts = {**self._of_run, "client": client}

    def path(self, number: int) -> Path:
        """The file of a round."""
        return self._folder / f"stage_{self._stage}_round_{number:04d}.safetensors"

    def load(self, number: int) -> OwnState:
        """What was saved after a round; nothing after round 0.

        Raises:
            StateError: the file is missing or damaged.
        """
        if number == 0:
            return OwnState()
        facts = {**self._own, "round": number}
        arrays = load_state(self.path(number), facts, f"after round {number}")
        return OwnState(section(arrays, TENSORS), section(arrays, HOOK), section(arrays, ROUNDING))

    def deposits(self, uses: str, sent: Arrays) -> dict[str, Arrays]:
        """What a round uses of what travels once: as sent now, or saved from an earlier message.

        It is the same for all clients of a run, and so are the files of those on one machine. The
        one before the newest of a name stays, for a server that goes on from an earlier checkpoint.

        Args:
            uses: as in `ClientRequest`.
            sent: the new ones, as `name/tensor`.

        Raises:
            RequestError: `uses` is not of that form.
            StateError: this client was never sent one, or lost it.
        """
        result: dict[str, Arrays] = {}
        names = _deposit_names(uses)
        for name, number in names:
            facts = {**self._of_run, "deposit": name, "number": number}
            path = self._run / f"stage_{self._stage}_{name}_{number:04d}.safetensors"
            arrays = section(sent, f"{name}/")
            if arrays:
                save_state(path, arrays, facts)
            else:
                arrays = load_state(path, facts, f"of '{name}'")
            result[name] = arrays
            _forget_older(path, f"stage_{self._stage}_{name}_[0-9]*.safetensors")
        self._forget_parts(sorted(number for name, number in names if is_residual(name)))
        return result

    def published(self, request: ClientRequest, arrays: Arrays, *, saves: bool) -> Arrays:
        """The shared tensors, and the algorithm's own, of a server that publishes states.

        Where changes were sent, they are added to the state that was saved before. The files are
        the same for all clients of a run and a rank; the one before the newest stays, for clients
        whose changes come later.

        Args:
            arrays: as sent.
            saves: whether the state will be asked for again.

        Raises:
            StateError: this client was never sent the state before, or lost it.
        """
        stem = f"stage_{self._stage}_published_{request.rank}"
        facts: Facts = {**self._of_run, "rank": request.rank}
        if request.since:
            before = load_state(
                self._run / f"{stem}_{request.since:09d}.safetensors",
                {**facts, "published": request.since},
                "of the shared tensors",
            )
            arrays = before | {n: float32(before[n] + values) for n, values in arrays.items()}
        if saves:
            path = self._run / f"{stem}_{request.published:09d}.safetensors"
            save_state(path, arrays, {**facts, "published": request.published})
            _forget_older(path, f"{stem}_[0-9]*.safetensors")
        return arrays

    def _forget_parts(self, numbers: list[int]) -> None:
        """Remove the parts of a residual that became one which is in use now, or before that.

        Where that one is the only part, a server may have to go on from the checkpoint before it,
        with those that it replaces: they stay until the next time. A mark says where each began.

        Args:
            numbers: of the parts in use, the lowest first.
        """
        if not numbers:
            return
        mark = f"stage_{self._stage}_{RESIDUAL}_{{:04d}}.first"
        (self._run / mark.format(numbers[0])).touch()
        marks = sorted(self._run.glob(mark.replace("{:04d}", "[0-9]*")))
        before = [_number_in(path) for path in marks if _number_in(path) < numbers[0]]
        first = numbers[0] if len(numbers) > 1 or not before else before[-1]
        parts = self._run.glob(f"stage_{self._stage}_{RESIDUAL}.[0-9]*.safetensors")
        for path in (*parts, *marks):
            if _number_in(path) < first:
                path.unlink(missing_ok=True)

    def save(self, number: int, memory: OwnState) -> bool:
        """Keep it after a round; false, and no file, when there is nothing to keep.

        Raises:
            StateError: the file cannot be written.
        """
        named = {TENSORS + name: values for name, values in memory.tensors.items()}
        named |= {HOOK + name: values for name, values in memory.hook.items()}
        named |= {ROUNDING + name: values for name, values in memory.rounding.items()}
        if named:
            save_state(self.path(number), named, {**self._own, "round": number})
        return bool(named)

    def forget_before(self, number: int) -> None:
        """Remove the files of rounds before `number`, but the newest of these.

        The server may have to go on from the checkpoint before its newest one.
        """
        _forget_older(self.path(number), f"stage_{self._stage}_round_*.safetensors")


def _forget_older(path: Path, pattern: str) -> None:
    """Remove the files beside one whose names come before its own, but the newest of them."""
    older = sorted(file for file in path.parent.glob(pattern) if file.name < path.name)
    for file in older[:-1]:
        file.unlink(missing_ok=True)


def _number_in(path: Path) -> int:
    """The number at the end of a deposit's or mark's name."""
    return int(path.stem.rpartition("_")[2])


def _deposit_names(uses: str) -> list[tuple[str, int]]:
    """The names and numbers of `previous:1 residual.3:3`; a name is a part of a file's.

    Raises:
        RequestError: it is of another form.
    """
    names = []
    for each in uses.split():
        match = DEPOSIT.fullmatch(each)
        if match is None:
            raise RequestError(
                f"The server's message names a deposit '{each[:40]}', which is none; install the "
                "same version of the app on both sides."
            )
        names.append((match[1], int(match[2])))
    return names
