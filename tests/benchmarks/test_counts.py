"""What a run costs in counts that no machine changes: loads, messages, bytes, pictures, copies."""

import platform
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from flwr.app import Message
from flwr.clientapp import ClientApp

from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.messages import TrainMetrics, TrainReply
from fedvlm_flwr.messages.wire import pack, unpack
from fedvlm_flwr.process import this_process
from strategies.core.running_mean import RunningMean
from strategies.core.validation import Expected, read_reply
from tests.conftest import Start

ROUNDS, CLIENTS = 2, 2
WORDS = (f"num_rounds={ROUNDS}", f"num_clients={CLIENTS}", "train.local_steps=2", "seed=4711")
WORDS += ("train.batch_size=4", "dataset.test_pictures=3", "eval.shuffled=false", "eval.every=9")
ARRAYS = {f"llm.{i}": np.ones(500_000, np.float32) for i in range(4)}
SIZE = sum(values.nbytes for values in ARRAYS.values())


def test_of_a_run(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of anything is slower everywhere; a change that means to may change the numbers."""
    messages: Counter[str] = Counter()
    push = InProcessGrid.push_messages

    def counted(grid: InProcessGrid, pushed: Iterable[Message]) -> Iterable[str]:
        both = list(pushed)
        messages.update(message.metadata.message_type for message in both)
        return push(grid, both)

    monkeypatch.setattr(InProcessGrid, "push_messages", counted)
    loads = this_process().model_loads
    cost = start(*WORDS).cost()
    numbers, tensors = cost["shared_arrays"]["numbers"], cost["shared_arrays"]["tensors"]
    trips = ROUNDS * CLIENTS
    assert messages == {"query": CLIENTS, "train": trips}
    assert this_process().model_loads - loads == 1
    for way in ("up", "down"):  # no more than the numbers, a header, and a few values
        assert 0 <= cost["bytes"][way] - 4 * numbers * trips < trips * (130 * tensors + 700)
    drawn = trips * 2 * 4
    assert cost["processes"]["client"]["images_encoded"] <= drawn + 3  # others may have been before


def test_of_copies_of_a_message() -> None:
    """One when it is packed, one when a client reads it, and none when a server takes it in."""
    record = pack(ARRAYS)
    assert copies(lambda: pack(ARRAYS)) < 1.1
    assert copies(lambda: unpack(record)) < 1.1
    mean = RunningMean()
    mean.add(ARRAYS, 1.0)
    assert copies(lambda: mean.add(ARRAYS, 2.0)) < 0.3
    InProcessGrid(ClientApp(), {}, 1)  # without one there is no message
    reply = Message(TrainReply(ARRAYS, TrainMetrics(num_examples=1, steps=1)).pack(), 1, "train")
    assert copies(lambda: read_reply(reply, Expected(ARRAYS))) < 0.1


def copies(work: Callable[[], object]) -> float:
    """How much memory it takes at once, by what the arrays weigh."""
    work()
    tracemalloc.start()
    try:
        result = work()
        peak = tracemalloc.get_traced_memory()[1]
        del result
    finally:
        tracemalloc.stop()
    return peak / SIZE


MESSAGES = """
import resource
import sys
import numpy as np
from fedvlm_flwr.messages.wire import pack, unpack

def messages(count):
    sent = pack(arrays)
    for _ in range(count):
        reply = pack(unpack(sent))
        del reply

arrays = {f"llm.{i}": np.ones(int(sys.argv[1]) // 16, np.float32) for i in range(16)}
messages(3)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
messages(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another")
@pytest.mark.parametrize("numbers", [4_000_000, 20_000_000])
def test_of_page_faults(numbers: int) -> None:
    """The memory of one message serves the next: ten of them take less than one has pages."""
    words = [sys.executable, "-c", MESSAGES, str(numbers)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) < numbers * 4 / 4096
