"""How long a run still takes, by what its rounds have taken."""

from collections.abc import Mapping
from typing import Any

Event = Mapping[str, Any]


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class TimeLeft:
    """Takes a run's events and estimates what is to come.

    Each round counts with its evaluation; what comes after the last round is not known and not in
    it. Of a run that goes on after a break only the rounds since count.
    """

    def __init__(self) -> None:
        self.round, self.rounds = 0, 0
        self._finished = 0
        self._spent = 0.0

    def take(self, event: Event) -> None:
        """Take in what an event says of rounds and seconds."""
        match event["event"]:
            case "resumed":
                self._finished, self._spent = 0, 0.0
            case "round_start":
                self.rounds = event.get("rounds", self.rounds)
            case "round_end":
                self.round, self.rounds = event["round"], event["rounds"]
                self._finished += 1
                self._spent += event["seconds"]
            case "evaluated" if self._finished and not _is_of_one(event):
                self._spent += event["seconds"]

    @property
    def seconds(self) -> float | None:
        """Seconds until the last round is done; None before the first one is."""
        if not self._finished:
            return None
        return (self.rounds - self.round) * self._spent / self._finished

    @property
    def words(self) -> str:
        """The same for people; empty where it is not known, or nothing is left."""
        return f"about {duration(self.seconds)} left" if self.seconds else ""


def _is_of_one(event: Event) -> bool:
    """Whether it is one client's evaluation, whose seconds are in those of all."""
    where = str(event.get("where", ""))
    return where.startswith(("client", "site ")) and where != "clients"
