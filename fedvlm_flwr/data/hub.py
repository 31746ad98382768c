"""A dataset of the Hugging Face hub, fetched once and kept as a folder of parquet files.

`datasets` reads it, by its own rules for splits and pictures. No script of a repository runs:
the versions of `datasets` that are asked for know none.
"""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.paths import share, writable_home

AT_ONCE = 64  # rows; one may hold a picture of megabytes


def fetched(name: str) -> Path:
    """The folder of a dataset of the hub, which needs the network the first time only.

    Args:
        name: `organization/name`, or a folder that `datasets` loads.

    Raises:
        DataError: it cannot be fetched or loaded, or be written to the cache.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    place = writable_home() / "hub" / f"{re.sub('[^A-Za-z0-9._-]+', '--', name)[-80:]}-{digest}"
    if not place.is_dir():
        splits = _loaded(name)
        try:
            _write(splits, place)
        except OSError as error:
            raise DataError(
                f"dataset.hub={name} cannot be kept in {place} ({error}); make room there or set "
                "FEDVLM_HOME to another folder."
            ) from error
    return place


def _loaded(name: str) -> dict[str, Any]:
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetsError

    try:
        splits: Any = load_dataset(name)
    # Of what `datasets` raises some is plain: no such part, a script, files of unlike columns.
    except (DatasetsError, OSError, ValueError, RuntimeError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"dataset.hub={name} cannot be loaded ({reason}); connect this machine to the hub "
            "once, or download the dataset's files and set dataset.root to their folder and "
            "dataset.hub=null."
        ) from error
    return {split: data for split, data in splits.items() if isinstance(data, Dataset)}


def _write(splits: dict[str, Any], place: Path) -> None:
    from datasets.table import embed_table_storage

    place.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    try:
        for split, data in splits.items():
            # Pictures may lie in files of the download, which somebody may clean away.
            whole = data.with_format("arrow").map(
                embed_table_storage, batched=True, batch_size=AT_ONCE, load_from_cache_file=False
            )
            whole.to_parquet(partial / f"{split}-00000-of-00001.parquet", batch_size=AT_ONCE)
        share(partial)
        try:
            partial.replace(place)
        except OSError:
            if not place.is_dir():  # otherwise another process was first, with the same rows
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
