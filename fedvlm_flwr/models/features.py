"""The frozen encoding of pictures, done once per picture: kept in memory, then on disk."""

import hashlib
import json
import os
import tempfile
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from logging import getLogger
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from transformers.image_processing_utils import BaseImageProcessor

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.models.vlm import VLM, Features
from fedvlm_flwr.paths import share, writable_home

IMAGES_AT_ONCE = 64
CHECKSUM = "sha256"
LOG = getLogger(__name__)


def fingerprint(vision: nn.Module, choice: object, processor: BaseImageProcessor) -> str:
    """Sixteen hex digits over the vision tower's weights, its layer and the picture processing."""
    settings = json.dumps([choice, processor.to_dict()], sort_keys=True, default=str)
    digest = hashlib.sha256(settings.encode())
    for name, value in sorted(vision.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


class FeatureCache:
    """Features by picture: the newest used in memory, all of them on disk where that is worth it.

    A file's name is the model's fingerprint and the sha256 of the picture's file, so that nothing
    stale is ever read; files are written aside and renamed, so that processes may share them.

    Args:
        megabytes: the most that features may take in memory.
        on_disk: keep them in `$FEDVLM_HOME/features` too, unless the model says it is not worth it.

    Attributes:
        encoded: pictures that the model has encoded so far in this process.
    """

    def __init__(self, vlm: VLM, megabytes: float, on_disk: bool) -> None:
        self._vlm = vlm
        self._most = megabytes * 1e6
        self._rows: OrderedDict[Path, Features] = OrderedDict()
        self._bytes = 0
        self._largest = 0
        self._digests: dict[Path, str] = {}
        keep = on_disk and vlm.keep_features
        self._folder = writable_home() / "features" / vlm.fingerprint if keep else None
        self.encoded = 0

    def encode(self, images: Sequence[Path]) -> None:
        """Encode the pictures that are not kept yet, in batches.

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """
        distinct = list(dict.fromkeys(images))
        for start in range(0, len(distinct), IMAGES_AT_ONCE):
            self._batch(distinct[start : start + IMAGES_AT_ONCE])

    def __call__(self, images: Sequence[Path]) -> list[Features]:
        """Features of pictures in the given order, on the CPU."""
        rows: dict[Path, Features] = {}
        distinct = list(dict.fromkeys(images))
        for start in range(0, len(distinct), IMAGES_AT_ONCE):
            rows |= self._batch(distinct[start : start + IMAGES_AT_ONCE])
        return [rows[image] for image in images]

    def ahead(self, groups: Iterable[Sequence[Path]]) -> Iterator[list[Features]]:
        """Features of one group of pictures after the other, on the CPU.

        Pictures are encoded in batches, for as many groups ahead as there is room for in memory, so
        that none of them is gone when its group comes.

        Raises:
            DataError: a picture is missing or unreadable; names its path.
        """
        waiting = deque(groups)
        if not self._largest:  # one tells how many there is room for
            self.encode([image for group in waiting for image in group][:1])
        while waiting:
            window = [waiting.popleft()]
            pictures = set(window[0])
            while waiting and len(pictures | set(waiting[0])) <= self._room():
                pictures |= set(waiting[0])
                window.append(waiting.popleft())
            if len(window) > 1:  # one by itself is held until it is used, however large it is
                self.encode(sorted(pictures))
            yield from map(self, window)

    def _room(self) -> int:
        """Pictures that memory holds beside each other, all as large as the largest so far."""
        return int(self._most // max(self._largest, 1))

    def forget(self) -> None:
        """Let go of what is known of pictures by their paths, whose files may have changed."""
        self._rows.clear()
        self._digests.clear()
        self._bytes = 0

    def _batch(self, images: Sequence[Path]) -> dict[Path, Features]:
        rows: dict[Path, Features] = {}
        missing = []
        for image in images:
            row = self._rows.get(image) or self._read(image)
            if row is None:
                missing.append(image)
            else:
                rows[image] = row
        if missing:
            for image, row in zip(missing, self._features(missing), strict=True):
                rows[image] = {name: value.detach().cpu() for name, value in row.items()}
                self._write(image, rows[image])
            self.encoded += len(missing)
        for image, row in rows.items():
            self._keep(image, row)
        return rows

    def _features(self, images: Sequence[Path]) -> list[Features]:
        """The model's, of which the frozen part is never in training: it drops nothing out."""
        module = self._vlm.module
        training = module.training
        module.eval()
        try:
            return self._vlm.features(images)
        finally:
            module.train(training)

    def _keep(self, image: Path, row: Features) -> None:
        if image not in self._rows:
            self._bytes += _size(row)
            self._largest = max(self._largest, _size(row))
        self._rows[image] = row
        self._rows.move_to_end(image)
        while self._bytes > self._most and len(self._rows) > 1:
            self._bytes -= _size(self._rows.popitem(last=False)[1])

    def _path(self, image: Path) -> Path | None:
        if self._folder is None:
            return None
        if image not in self._digests:
            try:
                with image.open("rb") as file:
                    self._digests[image] = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError as error:
                raise DataError(
                    f"There is no picture {image}; check the dataset's folder."
                ) from error
        name = self._digests[image]
        return self._folder / name[:2] / f"{name}.safetensors"

    def _read(self, image: Path) -> Features | None:
        path = self._path(image)
        if path is None or not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                row = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                written = (file.metadata() or {}).get(CHECKSUM)
        except (SafetensorError, OSError) as error:  # cut by a crash or a full disk
            LOG.warning("The cached features %s are damaged (%s) and made again.", path, error)
            return None
        if written != _checksum(row):
            LOG.warning("The cached features %s have changed since and are made again.", path)
            return None
        return row

    def _write(self, image: Path, row: Features) -> None:
        path = self._path(image)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not flushed to disk one by one, which costs more than the features: a damaged one is
        # noticed when it is read.
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        os.close(handle)
        try:
            tensors = {key: value.contiguous() for key, value in row.items()}
            save_file(tensors, name, {CHECKSUM: _checksum(tensors)})
            share(Path(name))
            os.replace(name, path)  # noqa: PTH105  # as atomic, and no checkpoint
        finally:
            Path(name).unlink(missing_ok=True)


def _checksum(row: Features) -> str:
    """The sha256 over names, types, shapes and numbers, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted(row.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _size(row: Features) -> int:
    return sum(value.numel() * value.element_size() for value in row.values())
