"""Live progress: events in progress.jsonl, and on standard output for who cannot follow that."""

import os
import time
from functools import cached_property
from typing import Any

import psutil

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.log_stream import LogSender
from fedvlm_flwr.messages import TrainReply
from fedvlm_flwr.report.headlines import headline, settings_of
from fedvlm_flwr.report.live import plain_line
from fedvlm_flwr.run_folder import FOLLOWED, PROGRESS, RunFolder
from strategies.core.events import Callback, Evaluation, Round, label
from strategies.core.state import ServerState
from strategies.core.step import LONG

SECONDS_BETWEEN = 0.2  # events that only move a bar are thinned to this


class Progress(Callback):
    """Turns what happens into events."""

    def __init__(self, folder: RunFolder, sender: LogSender | None = None) -> None:
        """Take the folder.

        Args:
            sender: for a run that is followed through Flower's log; None: it is not.
        """
        self._folder, self._sender = folder, sender
        self._last = 0.0
        self._limited: set[int] = set()  # clients of whom it has been said
        self._has_warned = False  # of a long server step
        self.rounds = 0

    def tell(self, event: str, **facts: Any) -> None:
        """Record an event, and print its line when nobody follows."""
        record = {"event": event, **facts}
        self._folder.append(PROGRESS, record)
        if self._sender is not None:
            self._sender.event(record)
            return
        line = plain_line(record)
        if line is not None and not os.environ.get(FOLLOWED):
            print(line, flush=True)

    def begin(self) -> None:
        """Say where the run writes, when nobody follows."""
        if self._sender is None and not os.environ.get(FOLLOWED):
            print(f"run folder: {self._folder.path}", flush=True)

    def step(self, event: str, done: int, total: int, **facts: Any) -> None:
        """Record how far something has come; the first step is never left out."""
        now = time.monotonic()
        if done == 0 or now - self._last > SECONDS_BETWEEN:
            self._last = now
            self.tell(event, done=done, total=total, **facts)

    def require_owner(self) -> None:
        """Stop a run whose command was killed: nobody would ever end its processes.

        Raises:
            RunError: the process that owns the run is gone.
        """
        owner = os.environ.get(FOLLOWED)
        if owner and not psutil.pid_exists(int(owner)):
            raise RunError(f"The command that started this run (process {owner}) is gone.")

    def on_round_start(self, account: Round) -> None:
        """The cohort's size."""
        self.require_owner()
        self.tell("round_start", **self._place(account), clients=len(account.cohort))

    def on_reply(self, account: Round, client: int, reply: TrainReply | None) -> None:
        """A client is back, or failed."""
        done = len(account.replies) + len(account.failures)
        self.tell(
            "reply",
            **self._place(account),
            client=client,
            site=account.names[client] if account.names else "",
            done=done,
            clients=len(account.cohort),
            failure=account.failures.get(client),
        )
        if client in account.limited and client not in self._limited:
            self._limited.add(client)
            words = f"{label(client, account.names)}: {account.limited[client]}"
            self.tell("limited", **self._place(account), message=words)

    def on_round_end(self, account: Round, state: ServerState) -> None:
        """The round's numbers."""
        self.tell(
            "round_end",
            **self._place(account),
            loss=account.loss,
            clients=len(account.replies),
            seconds=account.seconds,
            bytes_up=account.bytes_up,
            bytes_down=account.bytes_down,
            step_ratio=account.step_ratio,
        )
        if account.step_ratio is not None and account.step_ratio > LONG and not self._has_warned:
            self._has_warned = True
            self.tell("warning", message=too_long(account))

    def on_evaluated(self, evaluation: Evaluation) -> None:
        """Each task's headline score."""
        metrics = {task: headline(task, self._settings) for task in evaluation.scores}
        self.tell(
            "evaluated",
            stage=evaluation.stage,
            round=evaluation.number,
            rounds=self.rounds,
            where=_place(evaluation),
            what=evaluation.what,
            scores={
                task: values[metrics[task]]
                for task, values in evaluation.scores.items()
                if metrics[task] in values  # a sample may have none of the questions it is of
            },
            seconds=evaluation.seconds,
        )

    @cached_property
    def _settings(self) -> dict[str, Any]:
        """The run's configuration, which is written before anything is scored."""
        return settings_of(self._folder)

    def _place(self, account: Round) -> dict[str, int]:
        return {"stage": account.stage, "round": account.number, "rounds": self.rounds}


def too_long(account: Round) -> str:
    """What is said, once a run, of a server's step that the clients' changes do not explain."""
    return (
        f"In round {account.number} the server's step is {account.step_ratio:.1f} times the "
        "clients' mean change: earlier rounds move the model more than this one. Lower the "
        "algorithm's server step size or momentum, or bound the step with max_step_ratio. "
        "metrics.jsonl has each round's step_ratio."
    )


def _place(evaluation: Evaluation) -> str:
    """Whose scores they are; a real site by its name."""
    number = evaluation.where.partition(":")[2]
    has_name = bool(number) and bool(evaluation.names)
    return label(int(number), evaluation.names) if has_name else evaluation.where
