"""What a message costs at a real site, in place and resident: real processes on the loopback.

    python benchmarks/sites.py [--rounds 3] [--sites 2] [--algorithm scaffold] [--scores server]
                               [--out FILE.json]

In place, a SuperNode starts a process for every message; resident, the site's own process takes
them. Each way is a deployment of its own, with TLS and node authentication. The first run, of one
round, is not counted. CPU seconds are of all the site's processes, Flower's and ours together, over
the second run, for each message of it (questions before round 1, training, scoring); waiting for
the server is in them. With `--scores sites` each round has a message more for every site. Wall time
means little on a busy machine. The numbers of both ways are compared.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client_app.audit import entries
from deploy.loopback import Result, Server, Site, run, started, superlink
from deploy.trial_data import WORDS, write_sites
from fedvlm_flwr.models import prepare_model
from fedvlm_flwr.paths import fedvlm_home
from fedvlm_flwr.process import this_process
from fedvlm_flwr.processes import family
from fedvlm_flwr.run_folder import METRICS

LOOK_SECONDS = 0.25
ROWS = {
    "cpu_seconds_a_message": "CPU s a message at a site",
    "megabytes_a_message": "MB started for each message",
    "superlink_cpu_seconds": "SuperLink CPU s a run",
    "base_loads": "base loads of both runs, all sites",
    "seconds_a_round": "wall s a round",
}


@dataclass
class Cost:
    """What one way costs; see the rows of the table."""

    cpu_seconds_a_message: float
    megabytes_a_message: float
    superlink_cpu_seconds: float
    base_loads: int
    seconds_a_round: float


def main() -> None:
    """Measure both ways and print them side by side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--algorithm", default="scaffold")
    parser.add_argument("--scores", choices=("server", "sites"), default="server")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    words = ["experiment=smoke", *WORDS, "num_clients=null", f"min_sites={options.sites}"]
    words.append(f"algorithm={options.algorithm}")
    prepare_model(this_process().compose({"overrides": "experiment=smoke"}).model)
    costs: dict[str, Cost] = {}
    scores = []
    for way in ("in place", "resident"):
        with tempfile.TemporaryDirectory(prefix="sites-") as folder:
            costs[way], lines = measure(Path(folder), way == "resident", options, words)
            scores.append(lines)
    different = sum(a != b for a, b in zip(*scores, strict=True))
    facts = (f"{options.sites} sites", f"{options.rounds} rounds", options.algorithm)
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"{', '.join(facts)}, scored by {options.scores}; load {load}\n")
    print("|  | in place | resident |\n|---|---:|---:|")
    for key, title in ROWS.items():
        print(f"| {title} | {' | '.join(f'{asdict(c)[key]:.4g}' for c in costs.values())} |")
    print(f"\nscores and losses that differ: {different} of {len(scores[0])}")
    if options.out is not None:
        results = {way: asdict(cost) for way, cost in costs.items()}
        options.out.write_text(json.dumps({**results, "different": different}, indent=1) + "\n")


def measure(
    folder: Path, resident: bool, options: argparse.Namespace, words: list[str]
) -> tuple[Cost, list[str]]:
    """One way's cost, and the numbers that its run came to."""
    states = folder / "states"
    records = write_sites(folder / "records")
    folders = list(records.items())[: options.sites]
    words = [*words, f"eval.where={options.scores}"]
    if options.scores == "server":
        words.append(f"dataset.root={list(records.values())[-1]}")
    with superlink(folder, fedvlm_home() / "models") as server:
        sites = [
            Site(server, name, node_config(name, data, states), resident=resident)
            for name, data in folders
        ]
        with started(*sites):
            complete(server, *words, "num_rounds=1", name="warm")
            spent, link = sum(map(cpu, sites)), own_cpu(server)
            messages = sum(len(answers(states / site.name)) for site in sites)
            with watched(sites) as sizes:
                result = complete(server, *words, f"num_rounds={options.rounds}", name="run")
            spent, link = sum(map(cpu, sites)) - spent, own_cpu(server) - link
    logs = [answers(states / name) for name, _ in folders]
    messages = sum(map(len, logs)) - messages
    loads = sum(base_loads(log, resident) for log in logs)
    seconds = result.folder.cost()["seconds"]["rounds"] / options.rounds
    return Cost(spent / messages, max(sizes) / 1e6, link, loads, seconds), numbers(result)


def numbers(result: Result) -> list[str]:
    """Losses and scores of a run, whoever's reply was there first."""
    lines = (line for line in result.folder.lines(METRICS) if line["task"])
    return sorted(json.dumps(line) for line in lines if line["metric"] != "seconds")


def node_config(name: str, data: Path, states: Path) -> str:
    """What a site's SuperNode is started with."""
    return f'site="{name}" data-root="{data}" state-dir="{states / name}"'


def complete(server: Server, *words: str, name: str) -> Result:
    """A run that must succeed."""
    result = run(server, *words, name=name)
    if result.status != 0:
        raise RuntimeError(f"the run failed: {result.output}")
    return result


def cpu(site: Site) -> float:
    """CPU seconds of a site's processes so far, those that have ended included."""
    return sum(sum(each.cpu_times()[:4]) for each in processes(site))


def processes(site: Site) -> list[psutil.Process]:
    """The living processes of a site."""
    children = [child for child in (site.supernode, site.serve) if child is not None]
    return [each for child in children for each in family(child.pid)]


def own_cpu(server: Server) -> float:
    """CPU seconds of the SuperLink's own process so far."""
    assert server.child is not None
    times = psutil.Process(server.child.pid).cpu_times()
    return float(times.user + times.system)


@contextmanager
def watched(sites: list[Site]) -> Iterator[list[int]]:
    """Yield a list of what processes that are started for a message take, in bytes."""
    lasting = {each.pid for site in sites for each in processes(site)}
    sizes, done = [0], threading.Event()

    def look() -> None:
        while not done.wait(LOOK_SECONDS):
            for site in sites:
                for each in processes(site):
                    if each.pid not in lasting:
                        sizes.append(resident_bytes(each))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield sizes
    finally:
        done.set()
        thread.join()


def resident_bytes(process: psutil.Process) -> int:
    """The memory of a process; 0 where it has just ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def answers(state: Path) -> list[dict[str, Any]]:
    """What a site has answered, by its log."""
    return [entry for entry in entries(state) if entry["way"] == "sent"]


def base_loads(log: list[dict[str, Any]], resident: bool) -> int:
    """Base models that a site has loaded: in place, every message is worked by a new process."""
    if not resident:
        return len(log)
    counts = [entry["values"].get("metrics", {}).get("model_loads", 0) for entry in log]
    return max(counts)


if __name__ == "__main__":
    main()
