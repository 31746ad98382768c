"""The server's peak memory against the number of clients, each size in a process of its own.

    python benchmarks/server_memory.py [--sizes 10 100 1000] [--megabytes 16] [--algorithm fedavg]

Clients are functions in the server's process that add noise to what they are sent, so that the
peak is what the round loop holds and nothing of a model. Prints megabytes and the ratio to the
smallest size.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedvlm_flwr.config import compose
from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.messages import TrainMetrics, TrainReply, TrainRequest
from fedvlm_flwr.messages.wire import pack, unpack
from strategies import load_strategy
from strategies.core.federation import Federation
from strategies.core.loop import RoundLoop


def client_app() -> ClientApp:
    """Clients that move every number a little, and answer a control variate with one."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        request = TrainRequest.unpack(message.content)
        arrays, step = unpack(request.arrays), np.float32(1e-3 * (request.client % 7))
        moved = {name: values + step for name, values in arrays.items()}
        extra = {} if request.extra is None else {n: v * 0 for n, v in arrays.items()}
        metrics = TrainMetrics(num_examples=1 + request.client % 3, loss=0.0, steps=1)
        return Message(TrainReply(moved, metrics, extra).pack(), reply_to=message)

    return app


def measure(num_clients: int, megabytes: float, algorithm: str) -> None:
    """Two rounds; prints the peak resident memory in MB and the seconds."""
    grid = InProcessGrid(client_app(), {}, num_clients)
    nodes = dict(enumerate(grid.get_node_ids()))
    federation = Federation(
        num_clients,
        max_weight_share=10.0,
        nodes=nodes,
        examples={client: 1 + client % 3 for client in nodes},
    )
    strategy = load_strategy(compose({"algorithm": algorithm}).algorithm, federation)
    start = pack({"w": np.zeros(int(megabytes * 250_000), np.float32)})
    began = time.monotonic()
    RoundLoop(strategy, grid).run(start, num_rounds=2)
    print(f"{peak_megabytes():.1f} {time.monotonic() - began:.1f}")


def peak_megabytes() -> float:
    """This process's largest resident memory; `ru_maxrss` would begin with its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None, "every Linux has it"
    return int(match[1]) / 1024


def peak(size: int, megabytes: float, algorithm: str) -> tuple[float, float]:
    """One size in a fresh process: its peak in MB, and the seconds of two rounds."""
    words = ["--one", str(size), "--megabytes", str(megabytes), "--algorithm", algorithm]
    done = subprocess.run(
        [sys.executable, __file__, *words], capture_output=True, text=True, check=True
    )
    megabytes, seconds = (float(word) for word in done.stdout.split()[-2:])
    return megabytes, seconds


def main() -> None:
    """Measure each size in a fresh process and print them side by side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--megabytes", type=float, default=16)
    parser.add_argument("--algorithm", default="fedavg")
    parser.add_argument("--one", type=int, help="measure one size in this process")
    given = parser.parse_args()
    if given.one:
        measure(given.one, given.megabytes, given.algorithm)
        return
    base = 0.0
    print(f"{given.algorithm}, update of {given.megabytes:g} MB, two rounds")
    for size in given.sizes:
        most, seconds = peak(size, given.megabytes, given.algorithm)
        base = base or most
        print(f"{size:5d} clients: peak {most:7.1f} MB, {most / base:.2f} x, {seconds:.1f} s")


if __name__ == "__main__":
    main()
