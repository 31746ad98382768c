"""A site's own log of every message that came and every one that went: `audit.jsonl`.

One line of JSON a message, appended and never changed. It names the arrays and holds the other
values as they crossed the wire; where a message failed, the words that stay at the site are there.
"""

import json
import math
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Message, RecordDict

from fedvlm_flwr.errors import StateError
from fedvlm_flwr.messages import decision
from fedvlm_flwr.messages.wire import array_names, payload_bytes

FILE = "audit.jsonl"
OWN = 0o600  # for whoever runs the site's processes
LONGEST = 1000  # characters of a text, entries of a list


class Audit:
    """The log in a site's state-dir; processes may share it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def arrival(self, message: Message) -> None:
        """Write down a message as it came, before it is looked into.

        Raises:
            StateError: the file cannot be written.
        """
        self._append({"way": "taken", **_facts(message), **_contents(message.content)})

    def departure(self, message: Message, content: RecordDict, words: str) -> None:
        """Write down what is given back.

        Args:
            message: what it answers.
            words: what went wrong, for the site alone; empty: nothing.

        Raises:
            StateError: the file cannot be written.
        """
        verdict = {"decision": decision(content), **({"words": words} if words else {})}
        self._append({"way": "sent", **_facts(message), **verdict, **_contents(content)})

    def _append(self, entry: dict[str, Any]) -> None:
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry})
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OWN)
            try:
                data = f"{line}\n".encode()
                if os.write(file, data) != len(data):  # the disk is full: what is there stays there
                    raise OSError("the disk took only a part of the line")
            finally:
                os.close(file)
        except OSError as error:
            raise StateError(
                f"The site's log {self.path} cannot be written ({error.strerror or error}), and "
                "nothing leaves unlogged; make room, or set state-dir to a folder of your own."
            ) from error


def _facts(message: Message) -> dict[str, Any]:
    """Whose message it is: Flower's numbers are too long for JSON's."""
    facts = message.metadata
    return {"run": str(facts.run_id), "round": facts.group_id, "kind": facts.message_type}


def _contents(content: RecordDict) -> dict[str, Any]:
    """Bytes, names of arrays and other values of a message's records."""
    arrays = {n: array_names(r) for n, r in content.items() if isinstance(r, ArrayRecord)}
    values = {
        name: {key: _plain(value) for key, value in record.items()}
        for name, record in content.items()
        if not isinstance(record, ArrayRecord)
    }
    return {"bytes": payload_bytes(content), "arrays": arrays, "values": values}


def _plain(value: object) -> object:
    """A value as JSON has it; of a long one the beginning."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str | list) and len(value) > LONGEST:
        return [*map(_plain, value[:LONGEST]), f"... {len(value)} in all"]
    return list(map(_plain, value)) if isinstance(value, list) else value


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a site's log, oldest first.

    Raises:
        StateError: there is none, or a line is damaged; says which.
    """
    path = folder / FILE
    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise StateError(
            f"{path} cannot be read ({error.strerror}); set state-dir to that of the site's "
            "node-config, as the user who runs the site."
        ) from error
    with file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise StateError(f"Line {number} of {path} is damaged: {error}.") from error
