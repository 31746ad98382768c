"""What every tracker is told: the same numbers under the same names."""

from fedvlm_flwr.errors import ConfigError
from strategies.core.events import Evaluation, Round


def numbers_of(account: Round) -> dict[str, float]:
    """A round's loss, seconds, bytes and failures by name."""
    numbers = {
        "train/loss": account.loss,
        "train/seconds": account.seconds,
        "train/bytes_up": float(account.bytes_up),
        "train/bytes_down": float(account.bytes_down),
        "train/failures": float(len(account.failures)),
    }
    step = account.step_ratio
    return numbers if step is None else numbers | {"train/step_ratio": step}


def scores_of(evaluation: Evaluation) -> dict[str, float]:
    """Scores by task, metric, and whose they are: `vqa/accuracy/server`."""
    where = evaluation.control or evaluation.where.replace(":", "_")
    return {
        f"{task}/{metric}/{where}": value
        for task, metrics in evaluation.scores.items()
        for metric, value in metrics.items()
    }


def not_installed(name: str) -> ConfigError:
    """What is said of a tracker whose package is missing."""
    return ConfigError(
        f"report.trackers names {name}, which is not installed; pip install "
        f'"fedvlm-flwr[{name}]", or leave it out.'
    )
