"""Who takes part in a round, and where clients are reached."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import SiteReply
from strategies.core import cohort
from strategies.core.cohort import choose_cohort, find_clients


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_cohort_is_sorted_distinct_and_seeded(data: st.DataObject) -> None:
    num_clients = data.draw(st.integers(1, 40))
    size = data.draw(st.integers(1, num_clients))
    place = data.draw(st.tuples(st.integers(0, 2**32), st.integers(0, 2), st.integers(1, 500)))
    np.random.seed(data.draw(st.integers(0, 9)))  # must not matter
    chosen = choose_cohort(range(num_clients), size, *place)
    np.random.random(3)
    assert chosen == choose_cohort(range(num_clients), size, *place)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == size
    assert set(chosen) <= set(range(num_clients))


def test_of_those_that_are_there_only() -> None:
    drawn = [choose_cohort((2, 5, 9, 11), 2, 0, 0, number) for number in range(1, 40)]
    assert {client for cohort in drawn for client in cohort} == {2, 5, 9, 11}
    assert drawn == [
        [(2, 5, 9, 11)[k] for k in choose_cohort(range(4), 2, 0, 0, number)]
        for number in range(1, 40)
    ]
    assert choose_cohort((9, 2), 5, 0, 0, 1) == [2, 9]


def test_everyone_when_the_cohort_is_the_federation() -> None:
    assert choose_cohort(range(4), 4, 0, 0, 1) == [0, 1, 2, 3]
    assert choose_cohort(range(4), 9, 0, 0, 1) == [0, 1, 2, 3]


def test_differs_over_rounds_stages_and_seeds() -> None:
    first = [choose_cohort(range(20), 5, 0, 0, number) for number in range(1, 11)]
    assert len({tuple(chosen) for chosen in first}) > 8
    assert first != [choose_cohort(range(20), 5, 1, 0, number) for number in range(1, 11)]
    assert first != [choose_cohort(range(20), 5, 0, 1, number) for number in range(1, 11)]


def test_everyone_has_a_turn() -> None:
    turns = np.zeros(10)
    for number in range(1, 401):
        turns[choose_cohort(range(10), 3, 0, 0, number)] += 1
    # 400 rounds, probability 0.3: mean 120, standard deviation 9.2; five of them either way
    assert turns.sum() == 1200
    assert turns.min() > 74
    assert turns.max() < 166


Site = Callable[[int], SiteReply]
MakeGrid = Callable[..., InProcessGrid]


def never(client: int, number: int, shared: object) -> RecordDict:
    raise AssertionError("nobody trains here")


def shuffled(*partitions: int) -> Site:
    """Nodes that Flower has numbered in another order than it tells of them."""
    return lambda node: SiteReply(partition=partitions[node], simulated=True)


def test_finds_clients_by_partition_and_not_by_node_id(make_grid: MakeGrid) -> None:
    grid = make_grid(never, 3, shuffled(2, 0, 1))
    node = list(grid.get_node_ids())
    assert find_clients(grid, 3, 5.0).nodes == {0: node[1], 1: node[2], 2: node[0]}
    assert find_clients(grid, 2, 5.0).nodes == {0: node[1], 1: node[2]}


def test_two_simulated_nodes_share_five_clients_in_turn(
    make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort, "SETTLE_SECONDS", 0.0)
    grid = make_grid(never, 2)
    first, second = grid.get_node_ids()
    assert find_clients(grid, 5, 5.0).nodes == {0: first, 1: second, 2: first, 3: second, 4: first}


def test_examples_of_nodes_that_serve_several_clients(
    make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort, "SETTLE_SECONDS", 0.0)
    counts = ((10, 30), (20,))
    grid = make_grid(
        never, 2, lambda node: SiteReply(partition=node, simulated=True, examples=counts[node])
    )
    assert find_clients(grid, 3, 5.0).examples == {0: 10, 1: 20, 2: 30}


def test_a_node_that_comes_late_is_waited_for(make_grid: MakeGrid) -> None:
    class Late(InProcessGrid):
        asked = 0

        def get_node_ids(self) -> Iterable[int]:
            self.asked += 1
            ids = list(super().get_node_ids())
            return ids if self.asked > 3 else ids[:1]

    grid = make_grid(never, 2, grid_class=Late)
    assert list(find_clients(grid, 2, 5.0).nodes.values()) == list(grid.get_node_ids())


def test_a_real_site_in_a_simulation(make_grid: MakeGrid) -> None:
    with pytest.raises(RunError, match=r"of 'north' is a real site, .*engine=superlink"):
        find_clients(make_grid(never, 1, lambda node: SiteReply(site="north")), 1, 5.0)


def test_site_that_cannot_answer_is_named_with_its_reason(make_grid: MakeGrid) -> None:
    def broken(node: int) -> SiteReply:
        raise ImportError("no module named torch")

    with pytest.raises(
        RunError, match=r"Node \d+ cannot run the ClientApp .*no module named torch"
    ):
        find_clients(make_grid(never, 1, broken), 1, 5.0)


def test_a_node_that_fails_is_asked_once_more(make_grid: MakeGrid) -> None:
    """As one whose process dies while it loads."""
    asked: list[int] = []

    def dies_once(node: int) -> SiteReply:
        asked.append(node)
        if asked.count(1) == 1 and node == 1:
            raise MemoryError("no room")
        return SiteReply(partition=node, simulated=True)

    assert len(find_clients(make_grid(never, 3, dies_once), 3, 5.0).nodes) == 3
    assert sorted(asked) == [0, 1, 1, 2]


def test_no_node_at_all(make_grid: MakeGrid) -> None:
    with pytest.raises(RunError, match="No SuperNode connected"):
        find_clients(make_grid(never, 0), 2, 0.1)


class Deaf(InProcessGrid):
    """Its nodes are connected and never answer."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return []


def test_nodes_that_never_answer(make_grid: MakeGrid) -> None:
    with pytest.raises(
        RunError, match=r"Node \d+ did not answer within 0\.1 s; raise round_timeout"
    ):
        find_clients(make_grid(never, 2, grid_class=Deaf), 2, 0.1)
