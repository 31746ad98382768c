"""The folders in which a finished run's model was scored on other records."""

import re
from pathlib import Path

from fedvlm_flwr.run_folder import CONFIG, RunFolder

FOLDER = "evaluations"  # of a run folder
NUMBER = r"(?:-\d+)?"  # of a further folder of the same name
CLIENT = re.compile(rf"-client_(\d+){NUMBER}")


class EvaluationFolder(RunFolder):
    """The folder of an evaluation; its configuration is written last, so that it is whole then."""

    config = "evaluation.yaml"

    @property
    def is_whole(self) -> bool:
        """Whether all of it has been written."""
        return (self.path / self.config).is_file()

    @property
    def text(self) -> str:
        """Its configuration's text."""
        return (self.path / self.config).read_text(encoding="utf-8")

    @property
    def client(self) -> int | None:
        """Whose own model was scored; None: everybody's."""
        rest = self.path.name.removeprefix(str(self.settings().get("dataset.name", "")))
        match = CLIENT.search(rest)
        return int(match[1]) if match else None


def name_of(dataset: str, parts: list[str], client: int | None) -> str:
    """What the name of an evaluation's folder begins with.

    Args:
        parts: what is not the usual of its records.
        client: see `EvaluationFolder.client`.
    """
    return "-".join([dataset, *parts, *([] if client is None else [f"client_{client}"])])


def evaluations_of(run: Path) -> list[EvaluationFolder]:
    """The whole evaluations of a run folder; of several of the same records and model the newest.

    Raises:
        RunError: one of them is damaged.
    """
    places = sorted((run / FOLDER).glob("*"), key=lambda path: (len(path.name), path.name))
    whole = [folder for folder in map(EvaluationFolder, places) if folder.is_whole]
    return list({(one.text, one.client): one for one in whole}.values())


def run_of(folder: Path) -> Path:
    """The run folder that a folder of evaluations, or one of these, is in; else the folder."""
    whole = folder.expanduser().resolve()
    places = (place.parent for place in (whole, whole.parent) if place.name == FOLDER)
    return next((run for run in places if (run / CONFIG).is_file()), folder)
