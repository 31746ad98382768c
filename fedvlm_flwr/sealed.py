"""Facts in JSON with a checksum over them, so that any change of the file is found."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CHECKSUM = "sha256"


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with their checksum."""
    bare = {key: value for key, value in facts.items() if key != CHECKSUM}
    text = json.dumps(bare, sort_keys=True)
    return {**bare, CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def is_whole(facts: Mapping[str, Any]) -> bool:
    """Whether facts are those that were sealed."""
    return bool(facts.get(CHECKSUM) == sealed(facts)[CHECKSUM])
