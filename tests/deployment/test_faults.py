"""Real processes that die, stand still, lie or hold bad data: what the run comes to."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.demo import loads_of, node_config
from deploy.loopback import (
    ROOT,
    Child,
    Result,
    Server,
    Site,
    folder_of,
    make_keys,
    run,
    start_run,
    started,
    wait_until,
)
from deploy.trial_data import WORDS
from fedvlm_flwr import run as run_here
from fedvlm_flwr.engines.deployed.note import Note
from fedvlm_flwr.models.weights.prepared import MANIFEST, digest
from fedvlm_flwr.paths import SHIPPED
from fedvlm_flwr.plugin_folder import ROOMS
from fedvlm_flwr.processes import script
from fedvlm_flwr.run_folder import METRICS, RunFolder

pytestmark = pytest.mark.slow

SITES = ("north", "south", "west")
RUN = ("experiment=smoke", *WORDS, "num_clients=3", "eval.every=9")
NAMED = "sites=[north, south, west]"  # whoever else is there takes no part
LONGER = "train.local_steps=16"  # a process is found at work, and killed then
SCAFFOLD = (*RUN, "algorithm=scaffold", "num_rounds=3", LONGER)
PERSONAL = (*RUN, "tuning=share_lora", "num_rounds=2")
OUTAGE = 75  # seconds; Flower holds a node to be gone after 60
RESTART = 65  # what the SuperNode's unit waits: earlier Flower refuses it


def site(server: Server, records: Path, name: str, key: str | None = None) -> Site:
    """A resident site.

    Args:
        key: of its key and its folder, where that is another than its name.
    """
    return Site(server, key or name, node_config(server.folder, name, records), resident=True)


@pytest.fixture(scope="module")
def sites(server: Server, records: dict[str, Path]) -> Iterator[dict[str, Site]]:
    """Three hospitals that are online, each with its resident process."""
    three = {name: site(server, records[name], name) for name in SITES}
    with started(*three.values()):
        yield three


def numbers(folder: RunFolder) -> list[str]:
    """All that a run came to but for times; who answers first stands first in the file."""
    lines = folder.lines(METRICS)
    return sorted(json.dumps(line) for line in lines if line["metric"] != "seconds")


def in_one_process(server: Server, records: dict[str, Path], name: str, *words: str) -> RunFolder:
    """The same federation of the same folders by the in-process engine, in a folder of a name."""
    folders = ", ".join(f"{name}: {records[name]}" for name in SITES)
    own = ("engine=inprocess", f"engine.sites={{{folders}}}")
    return RunFolder(run_here(*own, *words, output_dir=server.folder / name).path)


@pytest.fixture(scope="module")
def three_rounds(server: Server, records: dict[str, Path]) -> RunFolder:
    """SCAFFOLD that nothing disturbs."""
    return in_one_process(server, records, "scaffold", *SCAFFOLD)


def told(place: RunFolder, words: str) -> bool:
    path = place.path / "progress.jsonl"
    return path.exists() and words in path.read_text(encoding="utf-8")


def cpu_seconds(child: Child) -> float:
    """What a process has computed so far."""
    return float(psutil.Process(child.pid).cpu_times().user)


# Most of these is waiting, so that they run side by side: each is a function that is begun by
# `waiting` and whose end its test waits for.


def outage(server: Server, sites: dict[str, Site]) -> RunFolder:
    """In one round a site stands still, another's SuperNode dies, a third's process dies.

    Between two rounds a SuperNode is started anew.
    """
    north, south, west = (sites[name] for name in SITES)
    place = folder_of(server, "outage")
    process = start_run(server, *SCAFFOLD, NAMED, name="outage")
    wait_until(lambda: told(place, '"event": "round_start"'), "round 1 begins", seconds=300)
    assert south.serve is not None and west.serve is not None
    living = south.serve.pid
    north.pause()
    south.kill()
    idle = cpu_seconds(west.serve)
    wait_until(lambda: cpu_seconds(west.serve) > idle + 0.2, "west's process works", seconds=60)
    west.serve.kill()  # with a message in hand
    time.sleep(5)
    west.start_serve()
    time.sleep(RESTART - 5)
    south.restart_supernode()
    time.sleep(OUTAGE - RESTART)
    north.go_on()

    def is_over() -> bool:
        return process.poll() is not None or told(place, '"event": "round_end"')

    wait_until(is_over, "round 1 ends", seconds=300)
    north.restart_supernode()  # told to end, it may come back at once
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert south.serve.pid == living and south.serve.status is None
    assert north.supernode is not None and "flwr-clientapp" not in north.supernode.output
    return place


def twins(server: Server, records: dict[str, Path]) -> Result:
    """Two sites of one name."""
    pair = [site(server, records["west"], "twin", key) for key in ("twin", "twin2")]
    with started(*pair):
        return run(
            server, "experiment=smoke", *WORDS, "num_clients=1", "sites=[twin]", name="twins"
        )


def left(
    server: Server, process: "subprocess.Popen[str]", serverapps: list[psutil.Process]
) -> tuple[str, str]:
    """A run that the user leaves and follows again, and whose ServerApp is then killed.

    Returns:
        What the user was told, when it was left and at its end.
    """
    place = folder_of(server, "left")
    wait_until((place.path / "config.yaml").exists, "the run has begun", seconds=300)
    process.send_signal(signal.SIGINT)
    first, _ = process.communicate(timeout=60)
    assert process.returncode == 130, first
    process = start_run(server, f"resume={place.path}")
    time.sleep(10)  # it is followed by then
    for serverapp in serverapps:
        serverapp.kill()
    second, _ = process.communicate(timeout=300)
    assert process.returncode == 1, second
    return first, second


def strangers(server: Server) -> dict[str, str]:
    """What SuperNodes have printed that should not come in, by case."""
    make_keys(server.certificates, "unknown")
    make_keys(server.folder / "other_ca", "unknown")
    key = ["--auth-supernode-private-key", str(server.certificates / "sites" / "unknown")]
    roots = ["--root-certificates", str(server.certificates / "ca.crt")]
    cases = {
        "an unregistered key": [*roots, *key],
        "no key": roots,
        "another CA": ["--root-certificates", str(server.folder / "other_ca" / "ca.crt"), *key],
        "no TLS": ["--insecure"],
    }
    own = [script("flower-supernode"), "--superlink", server.address]
    own += ["--node-config", 'site="stranger" data-root="/"']
    children = {
        case: Child([*own, *words], server.user, server.folder / f"{case.replace(' ', '-')}.log")
        for case, words in cases.items()
    }
    deadline = time.monotonic() + 30  # the one without TLS tries for ever
    while time.monotonic() < deadline and any(c.status is None for c in children.values()):
        time.sleep(0.2)
    for child in children.values():
        child.stop()
    return {case: child.output for case, child in children.items()}


@pytest.fixture(scope="module")
def waiting(
    server: Server, records: dict[str, Path], sites: dict[str, Site]
) -> Iterator[dict[str, Future[Any]]]:
    """The cases above, all begun; by name."""
    words = ("experiment=smoke", "num_clients=1", "sites=[absent]")
    process = start_run(server, *words, name="left")
    wait_until(lambda: bool(server.serverapps()), "its ServerApp runs", seconds=200)
    with ThreadPoolExecutor() as pool:
        yield {
            "left": pool.submit(left, server, process, server.serverapps()),
            "outage": pool.submit(outage, server, sites),
            "twins": pool.submit(twins, server, records),
            "strangers": pool.submit(strangers, server),
        }


def test_strangers_do_not_come_in(waiting) -> None:
    outputs = waiting["strangers"].result()
    assert len(outputs) == 4
    for case, output in outputs.items():
        assert output and not re.search(r"SuperNode ID: \d+", output), f"{case}: {output}"


def test_sites_that_stand_still_die_and_come_back(waiting, server, three_rounds) -> None:
    assert numbers(waiting["outage"].result()) == numbers(three_rounds)
    assert [loads_of(server.folder / "states" / name) for name in SITES] == [1, 1, 1]


def test_two_sites_of_one_name(waiting) -> None:
    result = waiting["twins"].result()
    assert result.status == 1
    assert "Two SuperNodes call themselves 'twin'" in result.output


def test_a_run_is_left_found_again_and_killed(waiting, server) -> None:
    """Ctrl-C leaves it alone; `resume=` follows it; its ServerApp's death is told."""
    first, second = waiting["left"].result()
    place = folder_of(server, "left")
    number, again = Note.read(place).run, f"fedvlm run resume={place.path}"
    assert f"flwr stop {number}" in first and again in first
    assert f"The run {number} ended as 'finished:failed'" in second, second
    assert "heartbeat" in second and again in second
    assert not place.is_finished()


def test_two_runs_at_once_have_the_numbers_of_one_process(
    server, records, sites, three_rounds
) -> None:
    runs = [(SCAFFOLD, "first"), (PERSONAL, "second")]
    processes = [start_run(server, *words, NAMED, name=name) for words, name in runs]
    personal = in_one_process(server, records, "personal", *PERSONAL)
    outputs = [process.communicate(timeout=400)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert numbers(folder_of(server, "first")) == numbers(three_rounds)
    assert numbers(folder_of(server, "second")) == numbers(personal)


def test_a_superlink_that_is_killed_and_started_again(server, sites, three_rounds) -> None:
    place = folder_of(server, "link")
    process = start_run(server, *SCAFFOLD, NAMED, name="link")
    wait_until(lambda: told(place, '"event": "round_start"'), "round 1 begins", seconds=200)
    server.kill()
    time.sleep(2)
    server.restart()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 1, output
    assert f"fedvlm run resume={place.path}" in output
    process = start_run(server, f"resume={place.path}")
    output, _ = process.communicate(timeout=400)
    assert process.returncode == 0, output
    assert numbers(place) == numbers(three_rounds)


def with_another_base(folder: Path) -> Path:
    """The same source, and other weights: one number is changed, and the manifest agrees to it."""
    for room in (*ROOMS, "conf"):
        shutil.copytree(ROOT / room, folder / room)
    weights = next((folder / "fedvlm_flwr" / SHIPPED).glob("tiny_llava-*/model.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-2] ^= 0x01
    weights.write_bytes(data)
    manifest = weights.parent / MANIFEST
    facts = json.loads(manifest.read_text())
    facts["sha256"][weights.name] = digest(weights)
    manifest.write_text(json.dumps(facts))
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path | None]:
    """A small disk; None: there is no right to mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        yield None
        return
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_another_base_at_one_site_and_a_full_disk_at_another(server, records, sites, disk) -> None:
    """The first ends its run before it begins; the second is that site's failure. Side by side."""
    other = site(server, records["west"], "other")
    other.environment["PYTHONPATH"] = str(with_another_base(other.folder / "package"))
    config = f'site="full" data-root="{records["west"]}" state-dir="{disk or server.folder}"'
    full = Site(server, "full", config, resident=True)
    each = {
        "base": (*RUN, "sites=[north, south, other]"),
        "disk": (
            *(*RUN, "sites=[north, south, full]", "min_replies=2"),
            *("algorithm=scaffold", "num_rounds=1"),
        ),
    }
    with started(other, full):
        runs = {name: start_run(server, *own, name=name) for name, own in each.items()}
        outputs = {name: process.communicate(timeout=400)[0] for name, process in runs.items()}
    assert runs["base"].returncode == 1
    words = r"error: The site 'other' does not fit this run: its base model has the fingerprint \w+"
    assert re.search(words, outputs["base"]), outputs["base"]
    assert "round 1" not in outputs["base"]
    assert runs["disk"].returncode == 0, outputs["disk"]
    if disk is None:
        pytest.skip("no right to mount a small disk")
    assert re.search(r"full failed: what it saved .*\(code state;", outputs["disk"])
