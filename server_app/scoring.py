"""The server's own scores: of the global model after a round, and of the blind controls."""

from dataclasses import dataclass
from typing import cast

from flwr.app import MetricRecord

from fedvlm_flwr.config import Config
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.evaluation.statistics import over_clients
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.run_folder import FIRST_PREDICTIONS, PREDICTIONS, RunFolder
from server_app.callbacks.metrics import MetricsWriter
from server_app.callbacks.progress import Progress
from strategies.core.events import Callback, Evaluation


def full_scores_due(config: Config, stage: int, number: int) -> bool | None:
    """Whether a round's scores are on the whole test set; None: the round is not scored.

    What a later stage starts from has its scores as the end of the stage before.
    """
    if number == 0:
        return True if stage == 0 else None
    if number == config.rounds_of(stage):
        return True
    return None if number % config.eval.every else False


@dataclass(frozen=True)
class Scoring:
    """Scores what the evaluator's model holds, and writes and tells it.

    Attributes:
        evaluator: of the server's test set; None: it has none.
        watchers: are told of each evaluation, rounds counted over all stages.
    """

    config: Config
    folder: RunFolder
    evaluator: Evaluator | None
    watchers: Callback
    metrics: MetricsWriter
    progress: Progress

    def score(self, stage: int, number: int, full: bool) -> MetricRecord:
        """Score the global model after a round of a stage.

        Args:
            full: on the whole test set, and on each client's share of it; else on the sample.

        Returns:
            All metrics, flat: `vqa.accuracy`.
        """
        assert self.evaluator is not None, "real sites score"
        what = "test set" if full else "test sample"
        result = self.evaluator.run(
            full, lambda done, total: self.progress.step("evaluating", done, total, what=what)
        )
        round_of_run = self.config.rounds_before(stage) + number
        records = [{"round": round_of_run, **record} for record in result.predictions]
        if round_of_run == 0:  # what training has changed is seen beside it
            self.folder.write_lines(FIRST_PREDICTIONS, records)
        self.folder.write_lines(PREDICTIONS, records)
        clients = over_clients(result.shares.values())
        scores = {task: values | clients.get(task, {}) for task, values in result.scores.items()}
        self.watchers.on_evaluated(
            Evaluation(stage, round_of_run, "server", what, scores, result.seconds, full)
        )
        self.metrics.write_shares(round_of_run, result.shares, stage)
        flat = {
            f"{t}.{key}": value for t, values in scores.items() for key, value in values.items()
        }
        return MetricRecord(cast(dict[str, int | float | list[int] | list[float]], flat))

    def tell_best(self, stage: int, number: int, best: int) -> None:
        """Write which round's model the last scores of a stage are of.

        Args:
            number: the stage's last round.
            best: the round that was best on validation records.
        """
        before = self.config.rounds_before(stage)
        self.metrics.write(before + number, "server", "train", {"best_round": before + best}, stage)
        self.progress.tell(
            "warning",
            message=f"The model of round {before + best} is the best on validation records: the "
            "scores of the end are of it, and it is saved.",
        )

    def controls(self, has_model: bool) -> None:
        """Score models that are blind to the image, by three ways of being blind.

        Two of them answer as the training records do, and need some.

        Args:
            has_model: whether the evaluator's model holds the run's result, to be shown other
                images than those that it is asked about.
        """
        evaluator, stage = self.evaluator, len(self.config.tuning.stages) - 1
        if evaluator is None:
            return
        controls: dict[str, tuple[Scores, float]] = {}
        if evaluator.has_training:
            controls["majority"] = evaluator.majority(), 0.0
            controls["question"] = evaluator.question_majority(), 0.0
        if self.config.eval.shuffled and has_model:
            controls["shuffled"] = evaluator.shuffled(
                lambda done, total: self.progress.step(
                    "evaluating", done, total, what="shuffled images"
                )
            )
        for name, (scores, seconds) in controls.items():
            what, rounds = f"control: {name}", self.config.all_rounds
            self.watchers.on_evaluated(
                Evaluation(stage, rounds, "server", what, scores, seconds, control=name)
            )
