"""What a training message costs at a real site, in place and resident: real processes, loopback.

    python benchmarks/sites.py [--rounds 3] [--sites 2] [--algorithm scaffold] [--out FILE.json]

In place, a SuperNode starts a process for every message; resident, the site's own process takes
them. Each way is a deployment of its own on the loopback, with TLS and node authentication, whose
first run of one round is not counted: the second one has no imports or pretraining of a first.
CPU seconds are of the site's processes, Flower's and ours together, over that run, for each of its
training messages; waiting for the server and the questions before round 1 are in them. Wall time
means little on a busy machine. The scores of both ways are compared, and must be equal.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client_app.audit import entries
from deploy.loopback import Result, Server, Site, fedvlm, run, started, superlink
from fedvlm_flwr.engines.simulation.processes import family
from fedvlm_flwr.models import prepare_model
from fedvlm_flwr.paths import fedvlm_home
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import METRICS

RECORDS = 48  # of a site
COLORS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
LOOK_SECONDS = 0.25
ROWS = {
    "cpu_seconds_a_message": "CPU s a training message at a site",
    "megabytes_a_message": "MB started for each message",
    "superlink_cpu_seconds": "SuperLink CPU s a run",
    "base_loads": "base loads for training, all sites",
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
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    words = [f"algorithm={options.algorithm}", "experiment=smoke", "dataset=folder"]
    words += ["dataset.task=vqa", "dataset.allow_unknown_words=true", "eval.where=sites"]
    prepare_model(this_process().compose({"overrides": "experiment=smoke"}).model)
    costs: dict[str, Cost] = {}
    scores = []
    for way in ("in place", "resident"):
        with tempfile.TemporaryDirectory(prefix="sites-") as folder:
            costs[way], lines = measure(Path(folder), way == "resident", options, words)
            scores.append(lines)
    different = sum(a != b for a, b in zip(*scores, strict=True))
    print(f"{options.sites} sites, {options.rounds} rounds, {options.algorithm}\n")
    print("|  | in place | resident |\n|---|---:|---:|")
    for key, title in ROWS.items():
        print(f"| {title} | {' | '.join(f'{asdict(c)[key]:.4g}' for c in costs.values())} |")
    print(f"\nscores and losses that differ: {different} of {len(scores[0])}")
    if options.out is not None:
        results = {way: asdict(cost) for way, cost in costs.items()}
        options.out.write_text(json.dumps({**results, "different": different}, indent=1) + "\n")


def measure(
    folder: Path, resident: bool, options: argparse.Namespace, words: list[str]
) -> tuple[Cost, list[object]]:
    """One way's cost, and the numbers that its run came to."""
    with superlink(folder, fedvlm_home() / "models") as server:
        sites = [make_site(server, folder, number) for number in range(options.sites)]
        with started(*sites, serve=serve if resident else None):
            complete(server, *words, "num_rounds=1", name="warm")
            before, link = [cpu(site) for site in sites], own_cpu(server)
            with watched(sites) as peak:
                result = complete(server, *words, f"num_rounds={options.rounds}", name="run")
            spent = sum(cpu(site) - start for site, start in zip(sites, before, strict=True))
            link = own_cpu(server) - link
        cost = json.loads((result.folder.path / "cost.json").read_text())
        loads = [loads_of(folder / f"state_{i}", resident) for i in range(options.sites)]
    lines = [
        [line[key] for key in ("round", "where", "task", "metric", "value")]
        for line in result.folder.lines(METRICS)
        if "/" in str(line["metric"]) or line["metric"] == "loss" or line["task"]
    ]
    messages = options.rounds * options.sites
    seconds = cost["seconds"]["rounds"] / options.rounds
    return Cost(spent / messages, max(peak) / 1e6, link, sum(loads), seconds), lines


def complete(server: Server, *words: str, name: str) -> Result:
    """A run that must succeed."""
    result = run(server, *words, name=name)
    if result.status != 0:
        raise RuntimeError(f"the run failed: {result.output}")
    return result


def make_site(server: Server, folder: Path, number: int) -> Site:
    """A site with colored pictures of its own."""
    data, state = folder / f"data_{number}", folder / f"state_{number}"
    data.mkdir()
    draw, rows = np.random.default_rng(number), []
    for i in range(RECORDS):
        color = str(draw.choice(list(COLORS)))
        pixels = np.array(COLORS[color]) + draw.integers(-20, 20, (32, 32, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(data / f"{i}.png")
        row = {"id": str(i), "image": f"{i}.png", "question": "what color is it?"}
        rows.append(json.dumps({**row, "answer": color, "task": "vqa"}))
    (data / "questions.jsonl").write_text("\n".join(rows))
    name = f"site-{number}"
    return Site(server, name, f'site="{name}" data-root="{data}" state-dir="{state}"')


def serve(site: Site) -> list[str]:
    """The words that start a site's resident process."""
    return fedvlm("site", "serve", f"address=127.0.0.1:{site.port}")


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


def loads_of(state: Path, resident: bool) -> int:
    """Base models that a site has loaded, by its log: each message of a process tells its own."""
    sent = [entry["values"].get("metrics") for entry in entries(state) if entry["way"] == "sent"]
    loads = [metrics["model_loads"] for metrics in sent if metrics]
    return max(loads) if resident else sum(loads)


if __name__ == "__main__":
    main()
