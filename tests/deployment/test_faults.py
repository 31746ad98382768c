"""Real processes that die, stand still, lie or hold bad data: what the run comes to."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo import loads_of, node_config
from deploy.loopback import (
    ROOT,
    Child,
    Result,
    Server,
    Site,
    fedvlm,
    make_keys,
    run,
    start_run,
    started,
    wait_until,
)
from deploy.trial_data import WORDS
from fedvlm_flwr.handshake import ROOMS
from fedvlm_flwr.models.weights.prepared import MANIFEST, digest
from fedvlm_flwr.paths import SHIPPED
from fedvlm_flwr.run_folder import METRICS, RunFolder

pytestmark = pytest.mark.slow

BOTH = ("north", "south")
RUN = ("experiment=smoke", *WORDS, "num_clients=2", "eval.every=9")
OUTAGE = 75  # seconds; Flower holds a node to be gone after 60


def site(server: Server, records: dict[str, Path], name: str, **more: object) -> Site:
    config = node_config(server.folder, name, records[name])
    return Site(server, name, config, resident=True, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sites(server: Server, records: dict[str, Path]) -> Iterator[dict[str, Site]]:
    """Two hospitals that are online, each with its resident process."""
    both = {name: site(server, records, name) for name in BOTH}
    with started(*both.values()):
        yield both


def numbers(folder: RunFolder) -> list[str]:
    """All that a run came to but for times; who answers first stands first in the file."""
    lines = folder.lines(METRICS)
    return sorted(json.dumps(line) for line in lines if line["metric"] != "seconds")


def in_one_process(server: Server, records: dict[str, Path], *words: str) -> RunFolder:
    """The same federation of the same folders by the in-process engine."""
    folders = ", ".join(f"{name}: {records[name]}" for name in BOTH)
    own = ("engine=inprocess", f"engine.sites={{{folders}}}", "run_name=inprocess")
    place = Path(server.user["FEDVLM_HOME"]) / "runs" / "inprocess"
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(fedvlm("run", *own, *words), env=server.user, check=True, capture_output=True)
    return RunFolder(place)


@pytest.fixture(scope="module")
def three_rounds(server: Server, records: dict[str, Path]) -> RunFolder:
    """SCAFFOLD that nothing disturbs."""
    return in_one_process(server, records, *RUN, "algorithm=scaffold", "num_rounds=3")


def good(result: Result) -> RunFolder:
    assert result.status == 0, result.output
    return result.folder


def test_numbers_are_those_of_one_process(server, records, sites) -> None:
    words = (*RUN, "tuning=share_lora", "num_rounds=2")
    expected = numbers(in_one_process(server, records, *words))
    assert numbers(good(run(server, *words, name="personal"))) == expected


def test_two_runs_at_once(server, records, sites, three_rounds) -> None:
    words = (*RUN, "algorithm=scaffold", "num_rounds=3")
    runs = [start_run(server, *words, name=f"beside{k}") for k in range(2)]
    outputs = [process.communicate(timeout=400)[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], outputs
    for k in range(2):
        folder = RunFolder(Path(server.user["FEDVLM_HOME"]) / "runs" / f"beside{k}")
        assert numbers(folder) == numbers(three_rounds)
    assert all(loads_of(server.folder / "states" / name) <= 2 for name in BOTH)


def told(place: RunFolder, words: str) -> bool:
    path = place.path / "progress.jsonl"
    return path.exists() and words in path.read_text(encoding="utf-8")


def test_sites_that_stand_still_die_and_come_back(server, sites, three_rounds) -> None:
    """One stands still for 75 s; the other's process is killed, then its SuperNode."""
    north, south = sites["north"], sites["south"]
    place = RunFolder(Path(server.user["FEDVLM_HOME"]) / "runs" / "outage")
    process = start_run(server, *RUN, "algorithm=scaffold", "num_rounds=3", name="outage")
    wait_until(lambda: told(place, '"event": "sites"'), "the sites are met", seconds=200)
    north.pause()
    assert south.serve is not None
    south.serve.kill()  # perhaps with a message in hand
    time.sleep(5)
    south.start_serve()
    time.sleep(OUTAGE - 5)
    north.go_on()
    wait_until(lambda: told(place, '"event": "round_end"'), "round 1 ends", seconds=200)
    south.kill()
    time.sleep(65)  # what the unit waits: earlier Flower refuses the restart
    south.restart()
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert numbers(place) == numbers(three_rounds)


def test_a_superlink_that_is_killed_and_started_again(server, sites, three_rounds) -> None:
    place = RunFolder(Path(server.user["FEDVLM_HOME"]) / "runs" / "link")
    process = start_run(server, *RUN, "algorithm=scaffold", "num_rounds=3", name="link")
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


def test_another_base_at_one_site_ends_the_run_before_it_begins(server, records, sites) -> None:
    other = site(server, records, "west")
    other.environment["PYTHONPATH"] = str(with_another_base(other.folder / "package"))
    with started(other):
        result = run(server, *RUN, "num_clients=3", name="base")
    assert result.status == 1
    assert re.search(
        r"error: The site 'west' does not fit this run: its base model has the fingerprint \w+ and",
        result.output,
    ), result.output
    assert "round 1" not in result.output


def test_two_sites_of_one_name(server, records, sites) -> None:
    twin = Site(server, "twin", node_config(server.folder, "north", records["west"]), resident=True)
    with started(twin):
        result = run(server, *RUN, "sites=[north, south]", name="twins")
    assert result.status == 1
    assert "Two SuperNodes call themselves 'north'" in result.output


def refused(server: Server, *words: str) -> Child:
    """A SuperNode that tries to come in; it is ended after some seconds at most."""
    folder = server.folder / "stranger"
    folder.mkdir(exist_ok=True)
    command = [*fedvlm_free("flower-supernode"), "--superlink", server.address, *words]
    child = Child(command, server.user, folder / f"{len(list(folder.iterdir()))}.log")
    deadline = time.monotonic() + 25
    while child.status is None and time.monotonic() < deadline:
        time.sleep(0.2)
    child.stop()
    return child


def fedvlm_free(name: str) -> list[str]:
    from fedvlm_flwr.engines.simulation.superlink import script

    return [script(name), "--node-config", 'site="stranger" data-root="/"']


def test_strangers_do_not_come_in(server) -> None:
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
    for case, words in cases.items():
        child = refused(server, *words)
        assert not re.search(r"SuperNode ID: \d+", child.output), f"{case}: {child.output}"


def test_a_full_disk_at_a_site_is_its_failure(server, records, sites, tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small disk")
    try:
        config = f'site="west" data-root="{records["west"]}" state-dir="{disk}"'
        full = Site(server, "west2", config, resident=True)
        with started(full):
            words = (*RUN, "num_clients=3", "min_replies=2", "algorithm=scaffold", "num_rounds=1")
            result = run(server, *words, name="disk")
        good(result)
        assert re.search(r"west failed: what it saved .*\(code state;", result.output)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
