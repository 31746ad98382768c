"""The account of what a run used."""

import json
from pathlib import Path

from fedvlm_flwr.messages import TrainReply
from fedvlm_flwr.messages.train import TrainMetrics
from fedvlm_flwr.process import Process
from fedvlm_flwr.run_folder import COST, RunFolder
from server_app.callbacks.cost import CostMeter
from strategies.core.events import Round


def reply(peak: int, loads: int) -> TrainReply:
    numbers = {"peak_memory_bytes": peak, "model_loads": loads}
    return TrainReply({}, TrainMetrics(num_examples=1, **numbers))


def test_it_does_not_grow_with_the_processes_that_come_and_go(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    meter = CostMeter(folder, Process())
    account = Round(0, 1, [0])
    for process in range(500):
        meter.on_reply(account, process, reply(process, loads=1))
    meter.write()
    clients = folder.cost()["processes"]["client"]
    assert (clients["peak_memory_bytes"], clients["model_loads"]) == (499, 1)
    assert set(folder.cost()["processes"]) == {"server", "client"}
    assert (tmp_path / COST).stat().st_size < 1000

    again = CostMeter(folder, Process())
    again.recall(json.loads(json.dumps(meter.memory())))
    again.on_reply(account, 0, reply(7, loads=2))
    again.write()
    clients = folder.cost()["processes"]["client"]
    assert (clients["peak_memory_bytes"], clients["model_loads"]) == (499, 2)
