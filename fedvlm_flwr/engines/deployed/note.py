"""What the user's run folder keeps of a run that goes on elsewhere."""

import json
from dataclasses import asdict, dataclass

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.run_folder import RunFolder

NOTE = "superlink.json"


@dataclass(frozen=True)
class Note:
    """Which run of which SuperLink a folder's is.

    Attributes:
        connection: the SuperLink's name in the user's Flower.
        run: Flower's id of the run that was started last.
        place: the run's folder on the SuperLink's host; None where it was never told.
    """

    connection: str
    run: str
    place: str | None

    def write(self, folder: RunFolder) -> None:
        """Keep it in a run folder."""
        folder.write(NOTE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: RunFolder) -> "Note":
        """What a run folder has kept.

        Raises:
            RunError: the run was none of a SuperLink's, or the note is damaged.
        """
        path = folder.path / NOTE
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise RunError(
                f"{folder.path} holds no run of a SuperLink; resume it with the engine that it was "
                "started with, or start a new run."
            ) from error
        except (OSError, ValueError, TypeError) as error:
            raise RunError(
                f"{path} is damaged ({error}); restore it, or start a new run."
            ) from error
