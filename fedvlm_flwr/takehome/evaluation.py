"""A finished run's model scored anew, on another dataset or split, without training."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedvlm_flwr.config import Config, compose, to_yaml
from fedvlm_flwr.config.compose import to_overrides
from fedvlm_flwr.config.keys import facts_at
from fedvlm_flwr.data.labels import require_labels
from fedvlm_flwr.data.layout import TEST
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.evaluation.answers import StepFn
from fedvlm_flwr.evaluation.evaluator import Evaluator
from fedvlm_flwr.evaluation_folder import FOLDER, EvaluationFolder, evaluations_of, name_of
from fedvlm_flwr.messages.scores import Scores
from fedvlm_flwr.process import Process
from fedvlm_flwr.run_folder import METRICS, PREDICTIONS
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import RunModel

DATASET, EVAL, DEVICE = "dataset", "eval", "engine.device"
# Keys of `eval` that say when and where a run is scored: here it is once, and here.
OF_A_RUN = ("eval.where", "eval.every")


@dataclass(frozen=True)
class Evaluation:
    """What is scored: a run's model, or that of one of its clients, on the records of a config."""

    run: FinishedRun
    config: Config
    client: int | None = None

    @property
    def name(self) -> str:
        """What its folder's name begins with: the dataset, and what is not the usual of it."""
        split, most = self.config.eval.split, self.config.eval.max_examples
        parts = [split] if split != TEST else []
        parts += [f"{most}_examples"] if most is not None else []
        return name_of(self.config.dataset.name, parts, self.client)

    @property
    def place(self) -> Path:
        """Where the run's evaluations lie."""
        return self.run.folder.path / FOLDER

    def earlier(self) -> EvaluationFolder | None:
        """The folder of the same evaluation, made before; None: there is none."""
        text, every = to_yaml(self.config), evaluations_of(self.run.folder.path)
        return next((one for one in every if (one.text, one.client) == (text, self.client)), None)


def evaluation_config(run: FinishedRun, words: Sequence[str]) -> Config:
    """The run's configuration with other records to be scored.

    Args:
        words: overrides (`KEY=VALUE`) of the dataset, of `eval`, and of the device.

    Raises:
        ConfigError: a key is another one; or as for a run.
    """
    keys = [word.partition("=")[0].lstrip("+~") for word in words]
    for word, key in zip(words, keys, strict=True):
        is_open = key == DEVICE or key.partition(".")[0] in (DATASET, EVAL)
        if not is_open or key in OF_A_RUN:
            raise ConfigError(
                f"{word} is no key of an evaluation, which takes the run's model as it is; set "
                f"dataset, dataset.*, eval.* (but for {', '.join(OF_A_RUN)}) or {DEVICE}."
            )
    config = run.config
    if keys:
        new = compose({"overrides": shlex.join([*_start(run, DATASET in keys), *words])})
        is_other = any(key.partition(".")[0] == DATASET for key in keys)
        config = replace(
            config,
            dataset=new.dataset if is_other else config.dataset,
            eval=new.eval,
            engine=replace(config.engine, device=new.engine.device)
            if DEVICE in keys
            else config.engine,
        )
    most = config.eval.max_examples if "eval.max_examples" in keys else None
    return replace(config, eval=replace(config.eval, max_examples=most))


def _start(run: FinishedRun, without_dataset: bool) -> list[str]:
    """What the run was started with, but for its place, and for its dataset where that changes."""
    values = run.folder.run_config()
    own = {k: v for k, v in values.items() if not facts_at(k.replace("-", "_"), {}).place}
    words = to_overrides(own)
    return [
        word
        for word in words
        if not (without_dataset and word.lstrip("+~").startswith((f"{DATASET}=", f"{DATASET}.")))
    ]


def evaluate(
    evaluation: Evaluation, run_model: RunModel, process: Process, step: StepFn | None = None
) -> EvaluationFolder:
    """Score, and write scores and predictions into a folder of the run's folder.

    Scores are those of a whole test set: metrics with their intervals, and the controls.

    Args:
        process: holds the tables.
        step: called with the answers given so far, and their number in all.

    Raises:
        DataError: there is nothing to score by, or a record cannot be used.
        RunError: the folder cannot be made.
    """
    config = evaluation.config
    data = process.tables(config)
    data.require("test")
    require_labels(data, config.dataset.params)
    evaluator = Evaluator(config, run_model.model, process, config.eval.threads, alone=True)
    result = evaluator.run(full=True, step=step)
    lines = list(_lines(config, result.scores))
    for name, scores in _controls(evaluator, config, step).items():
        lines += _lines(config, scores, f"control_{name}_")
    folder = EvaluationFolder.claim(evaluation.place, evaluation.name)
    folder.append(METRICS, *lines)
    records = ({"round": config.all_rounds, **record} for record in result.predictions)
    folder.write_lines(PREDICTIONS, records)
    folder.write(folder.config, to_yaml(config))
    return folder


def _controls(evaluator: Evaluator, config: Config, step: StepFn | None) -> dict[str, Scores]:
    controls: dict[str, Scores] = {}
    if evaluator.has_training:
        controls["majority"] = evaluator.majority()
        controls["question"] = evaluator.question_majority()
    if config.eval.shuffled:
        controls["shuffled"], _ = evaluator.shuffled(step)
    return controls


def _lines(config: Config, scores: Scores, prefix: str = "") -> Iterator[dict[str, Any]]:
    place = {"round": config.all_rounds, "where": "server"}
    for task, values in scores.items():
        for metric, value in values.items():
            yield {**place, "task": task, "metric": f"{prefix}{metric}", "value": value}
        if not prefix:
            yield {**place, "task": task, "metric": "full", "value": 1.0}
