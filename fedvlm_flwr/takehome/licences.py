"""Under which licence the base of a run stands, as far as its own files say."""

from dataclasses import fields
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import try_to_load_from_cache

from fedvlm_flwr.config import Choice
from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.settings import facts_of

UNKNOWN = "unknown"
CARD = "README.md"
PACKAGE = "fedvlm-flwr"


def sources_of(choice: Choice[Loading]) -> dict[str, str]:
    """What a model is read from, by the key that names it; a local folder by its name alone."""
    params = choice.params
    return {
        each.name: str(getattr(params, each.name))
        for each in fields(params)
        if facts_of(each).path and getattr(params, each.name) is not None
    }


def public_name(source: str) -> str:
    """A source as others may see it: a hub id, or the last part of a path."""
    path = Path(source).expanduser()
    return path.name if path.exists() or path.is_absolute() else source


def licences(choice: Choice[Loading]) -> dict[str, str]:
    """The licence of each source by its public name; "unknown" where its card does not say.

    A model that is made here is the package's.
    """
    sources = sources_of(choice)
    if not sources:
        return {f"{choice.name} of {PACKAGE}": _own()}
    return {public_name(source): licence_of(source) for source in sources.values()}


def licence_of(source: str) -> str:
    """What the card of a folder, or of a hub id in the cache, says in its head.

    Nothing is fetched.
    """
    folder = Path(source).expanduser()
    if folder.exists():
        path: Any = folder / CARD
    else:
        path = try_to_load_from_cache(source, CARD) if source.count("/") == 1 else None
    if not isinstance(path, str | Path) or not Path(path).is_file():
        return UNKNOWN
    head = Path(path).read_text(encoding="utf-8", errors="replace").split("---\n")
    try:
        facts = yaml.safe_load(head[1]) if len(head) > 2 and not head[0].strip() else None
    except yaml.YAMLError:
        return UNKNOWN
    if not isinstance(facts, dict):
        return UNKNOWN
    words = facts.get("license_name") or facts.get("license") or UNKNOWN
    return ", ".join(map(str, words)) if isinstance(words, list) else str(words)


def _own() -> str:
    try:
        facts: Any = metadata(PACKAGE)
        return str(facts.get("License-Expression") or UNKNOWN)
    except PackageNotFoundError:
        return UNKNOWN
