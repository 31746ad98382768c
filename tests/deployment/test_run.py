"""`fedvlm run engine=superlink`, with real processes: what the user sees, and what is true."""

from pathlib import Path

import pytest

from deploy.demo import node_config
from deploy.loopback import Server, Site, run, started
from deploy.trial_data import WORDS
from fedvlm_flwr.engines.deployed.note import Note
from fedvlm_flwr.run_folder import ADAPTER, COST, METRICS, RunFolder

pytestmark = pytest.mark.slow
SMOKE = ("experiment=smoke", "num_rounds=1", "eval.shuffled=false")


def test_the_result_comes_to_the_user(server: Server, records: dict[str, Path]) -> None:
    """The server scores by a folder of its own; the sites have theirs, in other forms.

    One is resident, at the other Flower starts a process for each message.
    """
    sites = [
        Site(server, name, node_config(server.folder, name, records[name]), resident=resident)
        for name, resident in (("north", True), ("south", False))
    ]
    scored = ["eval.where=server", f"dataset.root={records['west']}"]
    with started(*sites):
        result = run(server, *SMOKE, *WORDS, *scored, "num_clients=2", name="good")
    assert result.status == 0, result.output
    assert "north: vqa" in result.output and "round 1/1: loss" in result.output
    assert f"run folder: {result.folder.path}" in result.output
    assert result.folder.is_finished()  # the metrics are those of the checkpoint's checksum
    place = RunFolder(Path(Note.read(result.folder).place))
    assert place.path != result.folder.path
    adapter = [f"{ADAPTER}/{path.name}" for path in (place.path / ADAPTER).iterdir()]
    for name in (METRICS, COST, *adapter):
        assert (result.folder.path / name).read_bytes() == (place.path / name).read_bytes()
    events = [event["event"] for event in result.folder.lines("progress.jsonl")]
    assert events == [event["event"] for event in place.lines("progress.jsonl")]


def test_a_run_that_fails_says_why(server: Server) -> None:
    result = run(server, *SMOKE, "num_clients=2", "algorithm=krum", name="bad")
    assert result.status == 1
    assert "error: algorithm.num_malicious=1 needs 5 good replies" in result.output, result.output
    assert "client mean" not in result.output
