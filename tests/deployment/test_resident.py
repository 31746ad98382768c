"""A site's own process beside a real SuperNode and SuperLink: one base load, whatever happens."""

import json
from pathlib import Path

import psutil
import pytest

from deploy.loopback import Child, Server, Site, run, started, wait_until
from deploy.trial_data import WORDS

pytestmark = pytest.mark.slow

RUN = ("experiment=smoke", *WORDS, "num_clients=null", "num_rounds=1", "eval.shuffled=false")


def sent(folder: Path) -> list[dict]:
    lines = (folder / "audit.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["way"] == "sent"]


def test_one_process_serves_runs_refuses_and_outlives_its_supernode(
    server: Server, records: dict[str, Path], tmp_path: Path
) -> None:
    facts = f'site="east" data-root="{records["north"]}" state-dir="{tmp_path}"'
    site = Site(server, "east", facts, resident=True)
    with started(site):
        assert site.serve is not None and site.supernode is not None
        pid = site.serve.pid
        assert run(server, *RUN, name="first").status == 0
        first = sent(tmp_path)
        assert [entry["decision"] for entry in first] == ["worked"] * len(first)

        (tmp_path / "site-policy.yaml").write_text("algorithms: [scaffold]")
        refused = run(server, *RUN, name="refused")
        assert refused.status == 1 and "policy" in refused.output
        assert sent(tmp_path)[-1]["decision"] == "refused (policy)"

        command = psutil.Process(site.supernode.pid).cmdline()
        site.supernode.stop()  # told to end, it may come back at once; killed, after a minute
        site.supernode = Child(command, site.environment, site.folder / "supernode.log")
        wait_until(lambda: site.is_online, "the SuperNode is back", site.supernode)
        second = run(server, *RUN, "algorithm=scaffold", name="second")
        assert second.status == 0, second.output
        assert site.serve.pid == pid and site.serve.status is None
    trained = [entry for entry in sent(tmp_path) if entry["kind"] == "train"]
    loads = [entry["values"]["metrics"]["model_loads"] for entry in trained]
    assert loads == [1] * 2
    assert "the SuperNode at" in site.serve.output and "flwr-clientapp" not in site.supernode.output
