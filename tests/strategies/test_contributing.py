"""The algorithm that CONTRIBUTING.md shows."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from flwr.app import RecordDict

from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.wire import Arrays, pack
from strategies.base import Loop
from strategies.core.hooks import ClientHook

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_runs_and_takes_the_step_it_says(
    make_grid: Callable[..., InProcessGrid],
    good_reply: Callable[..., RecordDict],
    monkeypatch: pytest.MonkeyPatch,
    eta: float,
) -> None:
    """Clients send 0 + 1 and 0 + 2, then w + 1 and w + 2: w moves by eta 1.5 a round."""
    found = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert found
    module = ModuleType("fedstep")
    monkeypatch.setitem(sys.modules, "fedstep", module)
    exec(found[1], vars(module))  # the example itself is what is tested

    def train(client: int, number: int, shared: Arrays) -> RecordDict:
        return good_reply({"w": shared["w"] + client + 1})

    strategy = module.Algorithm(module.Params(eta), Loop(2, 2, 2, seed=0))
    start = pack({"w": np.zeros(1, np.float32)})
    strategy.start(make_grid(train), start, num_rounds=2, timeout=10)
    np.testing.assert_array_equal(strategy.state.arrays["w"], [2 * eta * 1.5])
    assert isinstance(module.Hook(module.Params(eta)), ClientHook)
