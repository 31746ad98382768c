"""A run's events and files as lines of its log: the one way from a SuperLink's host to its user.

Flower carries what a ServerApp prints to whoever follows the run, and nothing else. Each line of
ours is MARK and a JSON object with its number `n`: an event, the run's folder over there, or a
file in parts with its checksum. The same log may be read several times, from its beginning.
"""

import base64
import hashlib
import json
import re
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedvlm_flwr.paths import atomic_path
from fedvlm_flwr.run_folder import (
    ADAPTER,
    CHECKPOINT,
    CONFIG,
    COST,
    CURVE,
    FIRST_PREDICTIONS,
    METRICS,
    PREDICTIONS,
    PROGRESS,
    RESULT,
    RUN_CONFIG,
    SITES,
    SURROUNDINGS,
    RunFolder,
)

MARK = "@fedvlm "
PART = 32_768  # bytes of a file in one line, before base64
NUMBER = "line"  # of an event in the user's progress.jsonl: what is read again is not told again
OF_RUN = "superlink_run"
AT_START = (RUN_CONFIG, CONFIG, SURROUNDINGS)  # where the second is, a run can be resumed
AT_END = (SITES, METRICS, COST, FIRST_PREDICTIONS, PREDICTIONS, CURVE, RESULT, CHECKPOINT)
FILE = re.compile(rf"(?:{ADAPTER}/)?[A-Za-z0-9][A-Za-z0-9._-]*")


class LogSender:
    """Prints the events and files of a run's folder; used by the ServerApp."""

    def __init__(self, folder: RunFolder, largest: float) -> None:
        """Tell where the run's folder is.

        Args:
            largest: bytes of a file that is sent.
        """
        self._folder, self._largest, self._number = folder, largest, 0
        self._send({"folder": str(folder.path)})

    def event(self, event: Mapping[str, Any]) -> None:
        """Send an event."""
        self._send({"event": event})

    def start(self) -> None:
        """Send what a run is resumed by."""
        self._files([self._folder.path / name for name in AT_START])

    def end(self) -> None:
        """Send what the run came to; the checkpoint's facts, which say so, come last."""
        folder = self._folder.path
        adapter = sorted((folder / ADAPTER).glob("*"))
        self._files([*adapter, *(folder / name for name in AT_END)])

    def _files(self, paths: list[Path]) -> None:
        for path in paths:
            if path.is_file():
                self._file(path)

    def _file(self, path: Path) -> None:
        name, size = path.relative_to(self._folder.path).as_posix(), path.stat().st_size
        if size > self._largest:
            self._send({"file": name, "bytes": size, "stays": True})
            return
        content = path.read_bytes()
        packed = zlib.compress(content)
        parts = [packed[start : start + PART] for start in range(0, len(packed), PART)]
        checksum = hashlib.sha256(content).hexdigest()
        self._send({"file": name, "bytes": size, "parts": len(parts), "sha256": checksum})
        for number, part in enumerate(parts):
            self._send({"file": name, "part": number, "data": base64.b64encode(part).decode()})

    def _send(self, entry: Mapping[str, Any]) -> None:
        self._number += 1
        line = MARK + json.dumps({"n": self._number, **entry})
        # In one piece: Flower takes each write by itself, and other threads write too.
        sys.stdout.write(f"\n{line}\n")
        sys.stdout.flush()


class LogReceiver:
    """Puts the events and files of a log into the user's run folder.

    Attributes:
        place: the run's folder on the SuperLink's host; None until it is told.
        stays: bytes of each file that is too large to be sent.
        last: the run's last event, held back until the SuperLink has said how the run ended.
    """

    def __init__(self, folder: RunFolder, run: str) -> None:
        """Go on after the events that the folder has of this run.

        Args:
            run: Flower's id of the run.
        """
        self._folder, self._run = folder, run
        events = [event for event in folder.lines(PROGRESS) if event.get(OF_RUN) == run]
        self._newest = max((int(event[NUMBER]) for event in events), default=0)
        self._heads: dict[str, Mapping[str, Any]] = {}
        self._parts: dict[str, dict[int, bytes]] = {}
        self._whole: set[str] = set()
        self.place: str | None = None
        self.stays: dict[str, int] = {}
        self.last: dict[str, Any] | None = None

    def take(self, line: str) -> bool:
        """Take a line of the log; False where it is none of ours, or only a part of one."""
        _, mark, text = line.partition(MARK)
        try:
            entry = json.loads(text) if mark else None
        except ValueError:
            return False
        if not isinstance(entry, dict):
            return False
        if "event" in entry:
            self._event(int(entry["n"]), entry["event"])
        elif "folder" in entry:
            self.place = str(entry["folder"])
        elif "file" in entry and is_file_name(str(entry["file"])):
            self._file(str(entry["file"]), entry)
        return True

    def missing(self) -> list[str]:
        """Files that were announced and have not arrived whole."""
        return sorted(self._heads.keys() - self._whole)

    def tell_last(self) -> None:
        """Write the held event, now that it is true."""
        if self.last is not None:
            self._folder.append(PROGRESS, {**self.last, "folder": str(self._folder.path)})

    def _event(self, number: int, event: Mapping[str, Any]) -> None:
        record = {**event, OF_RUN: self._run, NUMBER: number}
        if event.get("event") == "end":
            self.last = record
        elif number > self._newest:
            self._newest = number
            self._folder.append(PROGRESS, record)

    def _file(self, name: str, entry: Mapping[str, Any]) -> None:
        if entry.get("stays"):
            self.stays[name] = int(entry["bytes"])
        elif "parts" in entry:
            self._heads[name], self._parts[name] = entry, {}
            self._whole.discard(name)
        elif name in self._heads:
            self._parts[name][int(entry["part"])] = base64.b64decode(entry["data"])
            if len(self._parts[name]) == self._heads[name]["parts"]:
                self._write(name)

    def _write(self, name: str) -> None:
        parts = self._parts.pop(name)
        try:
            content = zlib.decompress(b"".join(parts[number] for number in sorted(parts)))
        except zlib.error:
            return  # it stays among the missing
        if hashlib.sha256(content).hexdigest() == self._heads[name]["sha256"]:
            with atomic_path(self._folder.path / name) as temporary:
                temporary.write_bytes(content)
            self._whole.add(name)


def is_file_name(name: str) -> bool:
    """Whether a name is that of a file of a result: what a server sends reaches no other place."""
    return bool(FILE.fullmatch(name)) and name != PROGRESS
