"""Clients that each have a model of their own, and cannot all be scored."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import Failure, FailureCode, ScoresReply, ScoresRequest


def test_a_client_that_cannot_be_scored_ends_the_run(
    federate: Callable[..., Any], make_grid: Callable[..., Any], good_reply: Callable[..., Any]
) -> None:
    """The mean would be over others than before."""

    def score(content: RecordDict) -> RecordDict:
        request = ScoresRequest.unpack(content)
        if request.client == 1 and request.round == 1:
            return Failure(FailureCode.STATE, "No disk.").pack()
        return ScoresReply({"vqa": {"accuracy": 1.0}}, 0.5).pack()

    grid = make_grid(lambda client, number, shared: good_reply({}), evaluate=score)
    start = {"w": np.zeros(1, np.float32)}
    with pytest.raises(RunError, match=r"After round 1 .*client 1: No disk\."):
        federate("local", None, start, rounds=2, grid=grid, full_scores=lambda number: True)
