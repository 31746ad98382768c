"""Messages worked by real actors of Ray's: who works them, and what becomes of one that is lost."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
import ray
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.common.constant import ErrorCode

from fedvlm_flwr.config import Engine, compose
from fedvlm_flwr.engines import App
from fedvlm_flwr.engines.actors import own_ray
from fedvlm_flwr.engines.actors.own_ray import room
from fedvlm_flwr.engines.ray import RayGrid, ray_grid
from fedvlm_flwr.errors import ConfigError, RunError
from fedvlm_flwr.processes import lives
from tests.patience import within

CLIENT = App("", "tests.fedvlm_flwr.engines.acting:app")
ENGINE = compose({}).engine
SECONDS = 60
NODES = 2  # and as many actors, where there are as many cores

pytestmark = pytest.mark.slow
# A process has one Ray at a time: tests that need their own come before those that share one.


def grid_of(folder: Path, engine: Engine = ENGINE) -> AbstractContextManager[RayGrid]:
    return ray_grid(CLIENT, {}, engine, NODES, folder / "engine.log")


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Iterator[RayGrid]:
    with grid_of(tmp_path_factory.mktemp("actors")) as grid:
        yield grid


def send(grid: RayGrid, *orders: str, nodes: int = NODES, ttl: float | None = None) -> list[str]:
    """Messages to the first nodes in turn, each of which is to do something."""
    places = list(grid.get_node_ids())[:nodes]
    contents = (RecordDict({"config": ConfigRecord({"do": order})}) for order in orders)
    return list(
        grid.push_messages(
            Message(content, places[i % nodes], MessageType.TRAIN, ttl=ttl)
            for i, content in enumerate(contents)
        )
    )


def replies(grid: RayGrid, ids: list[str]) -> list[Message]:
    """The replies to messages, in the order of these."""
    found: dict[str, Message] = {}
    deadline = time.monotonic() + SECONDS
    while set(ids) - set(found):
        assert time.monotonic() < deadline, "no reply"
        for reply in grid.pull_messages(set(ids) - set(found)):
            found[reply.metadata.reply_to_message_id] = reply
    return [found[key] for key in ids]


def told(message: Message) -> ConfigRecord:
    assert not message.has_error(), message.error
    record = message.content["config"]
    assert isinstance(record, ConfigRecord)
    return record


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_the_end_of_ray_is_told_in_seconds_and_nothing_stays_behind(tmp_path, name):
    before = set(psutil.Process().children(recursive=True))
    with grid_of(tmp_path) as grid:
        replies(grid, send(grid, "tell", "tell"))
        processes = set(psutil.Process().children(recursive=True)) - before
        next(each for each in processes if each.name() == name).kill()
        began = time.monotonic()
        with pytest.raises(RunError, match=f"Ray's process '{name}' has ended"):
            replies(grid, send(grid, "tell"))
        assert time.monotonic() - began < 10
    psutil.wait_procs(processes, timeout=20)
    assert not any(map(lives, processes))


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_a_ray_that_stands_still_is_ended_too(tmp_path, name, monkeypatch):
    monkeypatch.setattr(own_ray, "ENDING_SECONDS", 3.0)
    before = set(psutil.Process().children(recursive=True))
    with within(60), grid_of(tmp_path) as grid:
        replies(grid, send(grid, "tell", "tell"))
        processes = set(psutil.Process().children(recursive=True)) - before
        next(each for each in processes if each.name() == name).suspend()
    psutil.wait_procs(processes, timeout=20)
    assert not any(map(lives, processes))


def test_no_room_for_a_client_is_refused(tmp_path):
    engine = compose({"overrides": "engine.gpus_per_client=64"}).engine
    assert room({"CPU": 4.0}, engine) == 0
    words = r"None of Ray's nodes .* engine\.gpus_per_client=64; lower"
    with grid_of(tmp_path, engine) as grid, pytest.raises(ConfigError, match=words):
        replies(grid, send(grid, "tell"))


def test_a_process_with_a_ray_of_its_own_is_refused(tmp_path):
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        with grid_of(tmp_path) as grid, pytest.raises(ConfigError, match=r"call ray\.shutdown\(\)"):
            replies(grid, send(grid, "tell"))
    finally:
        ray.shutdown()


def test_a_node_keeps_its_process_and_its_state(grid):
    first, second = ([told(r) for r in replies(grid, send(grid, "tell", "tell"))] for _ in "12")
    assert [each["partition-id"] for each in first] == list(range(NODES))
    assert [each["process"] for each in first] == [each["process"] for each in second]
    if (psutil.cpu_count() or 1) >= NODES:
        assert len({each["process"] for each in first}) == NODES
    for before, after in zip(first, second, strict=True):
        assert after["count"] == int(before["count"]) + 1


def test_a_process_that_has_nothing_to_do_takes_what_another_has_not_begun(grid):
    (own,) = {told(reply)["process"] for reply in replies(grid, send(grid, "tell"))}
    working = [
        told(reply)["process"] for reply in replies(grid, send(grid, *["tell"] * 4, nodes=1))
    ]
    assert own in working
    if (psutil.cpu_count() or 1) >= NODES:
        assert len(set(working)) == NODES


def test_what_a_client_raises_comes_back_in_words(grid):
    lost, good = replies(grid, send(grid, "raise", "tell"))
    assert lost.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert lost.error.reason == "ValueError: the disk is on fire"
    assert told(good)


def test_one_message_is_lost_with_a_process_and_another_takes_its_place(grid):
    (before,) = {told(reply)["process"] for reply in replies(grid, send(grid, "tell"))}
    (lost,) = replies(grid, send(grid, "die"))
    assert lost.error.code == ErrorCode.CLIENT_APP_CRASHED
    again = replies(grid, send(grid, *["tell"] * 4))
    processes = {told(reply)["process"] for reply in again}
    assert len(processes) <= NODES and all(psutil.pid_exists(int(one)) for one in processes)
    assert not psutil.pid_exists(int(before)) or before in processes


def test_a_reply_that_nobody_may_ask_for_is_forgotten(grid):
    (late,) = send(grid, "tell", ttl=0.1)
    assert replies(grid, send(grid, "tell", "tell", "tell"))
    replies(grid, send(grid, "tell"))
    assert list(grid.pull_messages({late})) == []


@pytest.mark.parametrize(
    ("resources", "words", "expected"),
    [
        ({"CPU": 4.0}, "engine.cpus_per_client=1", 4),
        ({"CPU": 4.0}, "engine.cpus_per_client=3", 1),
        ({"CPU": 16.0, "GPU": 2.0}, "engine.gpus_per_client=0.25", 8),
        ({"CPU": 2.0, "GPU": 2.0}, "engine.gpus_per_client=0.25", 2),
        ({"CPU": 8.0}, "engine.gpus_per_client=0.5", 0),
        ({}, "engine.cpus_per_client=1", 0),
    ],
)
def test_as_many_clients_at_once_as_a_node_has_room_for(resources, words, expected):
    assert room(resources, compose({"overrides": words}).engine) == expected


def test_a_second_run_in_the_same_process_is_refused_at_once(grid, tmp_path):
    words = "This process has a run on Ray already"
    with pytest.raises(ConfigError, match=words), grid_of(tmp_path):
        pass
    assert replies(grid, send(grid, "tell"))
