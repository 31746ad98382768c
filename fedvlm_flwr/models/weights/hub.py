"""The Hugging Face hub: where it does not answer, a process reads from its cache only."""

import os
from functools import cache
from logging import getLogger

import httpx
from huggingface_hub import constants, get_session

LOG = getLogger(__name__)


@cache
def reach_hub() -> None:
    """Ask the hub once in a process; where it does not answer, go offline (`HF_HUB_OFFLINE`).

    Each file of a model would else be asked for again and again, minutes in all, also where it is
    in the cache. What the cache lacks is told by whoever reads it.
    """
    if constants.is_offline_mode():
        return
    if not answers():
        LOG.warning(
            "%s does not answer; models are read from this machine's cache (HF_HUB_OFFLINE=1).",
            constants.ENDPOINT,
        )
        constants.HF_HUB_OFFLINE = True  # read when huggingface_hub was imported
        os.environ["HF_HUB_OFFLINE"] = "1"  # for processes that are started from here


def answers() -> bool:
    """Whether the hub answers a single request, whatever it says."""
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except httpx.HTTPError:
        return False
    return True
