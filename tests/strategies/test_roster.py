"""Real sites: who is waited for, which number each has, and where it is reached when it is back."""

import re
from collections.abc import Callable, Iterable

import pytest
from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from fedvlm_flwr.engines.inprocess import InProcessGrid
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import Failure, FailureCode, SiteReply
from strategies.core import exchange, roster
from strategies.core.exchange import Exchange
from strategies.core.roster import Membership, Roster

MakeGrid = Callable[..., InProcessGrid]

NORTH, SOUTH, EAST = (
    SiteReply(site=name, examples=(n,)) for name, n in (("north", 7), ("south", 5), ("east", 9))
)


class Deployment(InProcessGrid):
    """Its nodes go away and come back; one that is away answers as Flower does for it."""

    away: set[int]
    absent_after: dict[int, int]  # by node: messages that it takes before it is lost with the next
    crashes: dict[int, int]  # by node: messages with which its process dies, and the node does not

    def get_node_ids(self) -> Iterable[int]:
        return [node for node in super().get_node_ids() if node not in self.away]

    def _work(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        if message.metadata.message_type == "train" and node in self.absent_after:
            self.absent_after[node] -= 1
            if self.absent_after[node] < 0:
                del self.absent_after[node]
                self.away.add(node)
                self.on_loss(node)
                return Message(Error(5, "Node Unavailable"), reply_to=message)
        if self.crashes.get(node, 0):
            self.crashes[node] -= 1
            return Message(Error(ErrorCode.CLIENT_APP_CRASHED, "died"), reply_to=message)
        return super()._work(message)

    def on_loss(self, node: int) -> None:
        """What happens when a node is lost."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (roster, "LOOK_SECONDS"),
        (roster, "TELL_SECONDS"),
        (exchange, "LOOK_SECONDS"),
        (exchange, "SITES_SHORTEST_PAUSE"),
    ):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(roster, "TWICE_SECONDS", 0.1)


@pytest.fixture
def deploy(make_grid: MakeGrid) -> Callable[..., Deployment]:
    """Nodes that call themselves as given, and answer with who they are to any training."""

    def make(*sites: SiteReply | Failure, away: Iterable[int] = ()) -> Deployment:
        def train(content: RecordDict) -> RecordDict:
            return content

        grid = make_grid(train, len(sites), lambda node: sites[node], Deployment)
        assert isinstance(grid, Deployment)
        grid.away, grid.absent_after, grid.crashes = set(), {}, {}
        ids = list(grid.get_node_ids())
        grid.away |= {ids[k] for k in away}
        return grid

    return make


def fits(site: SiteReply) -> str:
    return ""


def a_roster(number: int | None = None, names: tuple[str, ...] | None = None, least: int = 1):
    words: list[str] = []
    made = Roster(Membership(number, names, least), fits, words.append)
    made.names = list(names or ())
    return made, words


def test_sites_are_numbered_by_their_names_and_not_by_their_nodes(deploy) -> None:
    grid = deploy(SOUTH, EAST, NORTH)
    nodes = list(grid.get_node_ids())
    sites, _ = a_roster(3)
    sites.gather(grid, 5)
    assert sites.names == ["east", "north", "south"]
    assert [sites.node(k) for k in range(3)] == [nodes[1], nodes[2], nodes[0]]
    assert sites.examples == {0: 9, 1: 7, 2: 5}


def test_named_sites_are_waited_for_and_named_to_the_user(deploy) -> None:
    grid = deploy(NORTH, SOUTH, EAST, away=[1])
    sites, words = a_roster(names=("north", "south"))
    with pytest.raises(RunError, match=r"needs the site 'south'.* there are: east, north|north"):
        sites.gather(grid, 0.2)
    assert any("waiting for the site 'south' (there: north)" in line for line in words)
    assert any("'east' takes no part" in line for line in words)
    grid.away.clear()
    sites.gather(grid, 5)
    assert sites.present == (0, 1)


def test_a_number_of_sites_is_waited_for(deploy) -> None:
    sites, _ = a_roster(3)
    with pytest.raises(RunError, match=r"needs 1 more site, and after .* there are: east, north"):
        sites.gather(deploy(NORTH, EAST), 0.2)
    with pytest.raises(RunError, match=r"num_clients=1, but 2 sites are there \(east, north\)"):
        a_roster(1)[0].gather(deploy(NORTH, EAST), 0.2)


def test_any_site_may_come_and_keeps_the_next_number(deploy) -> None:
    grid = deploy(SOUTH, EAST, NORTH, away=[1, 2])
    sites, words = a_roster(least=1)
    sites.gather(grid, 5)
    assert sites.names == ["south"]
    grid.away.clear()
    sites.require(grid, 5)
    assert sites.names[0] == "south" and sorted(sites.names[1:]) == ["east", "north"]
    assert sites.present == (0, 1, 2)
    assert "The site 'east' has joined." in words
    later = [9, 7] if sites.names[1] == "east" else [7, 9]
    again = Roster(sites.members, fits, words.append)
    again.recall(sites.memory())
    assert again.examples == sites.examples == {0: 5, **dict(enumerate(later, start=1))}
    again.gather(grid, 5)
    assert again.names == sites.names


def test_a_round_needs_so_many(deploy) -> None:
    grid = deploy(NORTH, EAST)
    sites, _ = a_roster(least=2)
    sites.gather(grid, 5)
    grid.away.add(next(iter(grid.get_node_ids())))
    with pytest.raises(RunError, match=r"takes 2 sites \(min_sites\), and 1 are not there"):
        sites.require(grid, 0.1)


def test_a_fixed_federation_takes_nobody_in_later(deploy) -> None:
    grid = deploy(NORTH, EAST, away=[1])
    sites, words = a_roster(1)
    sites.gather(grid, 5)
    grid.away.clear()
    sites.look(grid)
    assert sites.names == ["north"]
    assert "The site 'east' takes no part: the run began without it." in words


def test_two_of_one_name_end_the_run_before_its_first_round(deploy) -> None:
    with pytest.raises(RunError, match="Two SuperNodes call themselves 'north'"):
        a_roster(1)[0].gather(deploy(NORTH, NORTH), 5)


def test_nobody_is_left_unasked_before_the_first_round(deploy, monkeypatch) -> None:
    """The twin answers late; without waiting for it the run would begin with the other."""
    grid = deploy(NORTH, NORTH)
    real, polls = grid.pull_messages, iter(range(1000))

    def one_by_one(keys: Iterable[str]) -> Iterable[Message]:
        return real(keys) if next(polls) % 5 == 0 else []

    grid.pull_messages = one_by_one  # type: ignore[method-assign]
    with pytest.raises(RunError, match="Two SuperNodes call themselves 'north'"):
        a_roster(names=("north",))[0].gather(grid, 5)
    monkeypatch.setattr(roster, "ANSWER_SECONDS", 0.05)  # one that never answers is not waited for
    silent = deploy(NORTH, SOUTH)
    north, _ = silent.get_node_ids()
    ask = silent.pull_messages

    def of_north(keys: Iterable[str]) -> Iterable[Message]:
        return ask(k for k in keys if silent._pending[k].metadata.dst_node_id == north)

    silent.pull_messages = of_north  # type: ignore[method-assign]
    sites, _ = a_roster(names=("north",))
    sites.gather(silent, 5)
    assert sites.present == (0,)


def test_later_the_first_of_a_name_is_the_site_as_long_as_it_is_there(deploy) -> None:
    grid = deploy(NORTH, NORTH, away=[1])
    first, second = InProcessGrid.get_node_ids(grid)
    sites, _ = a_roster(1)
    sites.gather(grid, 5)
    grid.away.clear()
    sites.look(grid)
    assert sites.node(0) == first
    grid.away.add(first)
    sites.look(grid)
    assert sites.node(0) == second


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Failure(FailureCode.SITE), r"SuperNode \d+ cannot take part: its node-config"),
        (SiteReply(partition=0, simulated=True), "is a simulated one"),
    ],
)
def test_a_node_that_is_no_site_is_told_of(deploy, answer, words) -> None:
    with pytest.raises(RunError, match=words):
        a_roster(1)[0].gather(deploy(answer), 5)
    grid = deploy(NORTH, answer, away=[1])
    sites, lines = a_roster()
    sites.gather(grid, 5)
    grid.away.clear()
    sites.look(grid)  # in a later round it is left out
    assert sites.names == ["north"] and len(lines) == 1


def test_a_broken_node_does_not_end_a_run_of_named_sites(deploy) -> None:
    sites, lines = a_roster(names=("north",))
    sites.gather(deploy(Failure(FailureCode.SITE), NORTH), 5)
    assert sites.present == (0,)
    assert "cannot take part: its node-config" in lines[0]


def test_a_site_that_cannot_take_part_says_its_name_and_ends_a_run_that_names_it(deploy) -> None:
    failure = Failure(FailureCode.VOCABULARY, site="south")
    with pytest.raises(RunError, match="The site 'south' cannot take part: the model has no token"):
        a_roster(names=("north", "south"))[0].gather(deploy(NORTH, failure), 5)
    sites, lines = a_roster(names=("north",))
    sites.gather(deploy(failure, NORTH), 5)
    assert lines[0].startswith("The site 'south' cannot take part")


def test_a_node_that_was_away_says_again_who_it_is(deploy) -> None:
    bases = ["a"]
    grid = deploy(NORTH, SOUTH)
    first, _ = grid.get_node_ids()
    words: list[str] = []

    def judge(site: SiteReply) -> str:
        return "another base" if site == NORTH and bases == ["b"] else ""

    sites = Roster(Membership(2), judge, words.append)
    sites.gather(grid, 5)
    assert sites.present == (0, 1)
    grid.away.add(first)
    sites.look(grid)
    assert sites.present == (1,)
    bases[:] = ["b"]
    grid.away.clear()
    sites.look(grid)
    assert sites.present == (1,)
    assert words == ["The site 'north' does not fit this run: another base."]


def test_a_site_that_does_not_fit_is_named_with_the_difference(deploy) -> None:
    sites = Roster(Membership(2), lambda site: "it has torch 1" * (site == SOUTH), print)
    with pytest.raises(RunError, match="'south' does not fit this run: it has torch 1"):
        sites.gather(deploy(NORTH, SOUTH), 5)


def exchanged(grid: Deployment, sites: Roster, timeout: float = 5) -> dict[int, Message | None]:
    swap = Exchange(grid, timeout, sites.node, sites)
    return dict(swap.run({k: RecordDict() for k in range(len(sites.names))}, "train", "1"))


def test_a_site_that_is_lost_while_it_works_is_asked_again_as_another_node(deploy) -> None:
    grid = deploy(NORTH, SOUTH, NORTH, away=[2])
    first, _, third = InProcessGrid.get_node_ids(grid)
    sites, _ = a_roster(2)
    sites.gather(grid, 5)
    grid.absent_after[first] = 0
    grid.on_loss = lambda node: grid.away.discard(third)  # type: ignore[method-assign]
    replies = exchanged(grid, sites)
    assert [reply is not None and not reply.has_error() for reply in replies.values()] == [True] * 2
    assert replies[0] is not None and replies[0].metadata.src_node_id == third


def test_a_site_that_is_back_with_its_node_is_asked_again(deploy) -> None:
    grid = deploy(NORTH, SOUTH)
    first, _ = grid.get_node_ids()
    sites, _ = a_roster(2)
    sites.gather(grid, 5)
    grid.absent_after[first] = 0
    looks = iter(range(100))
    real = grid.get_node_ids

    def back_at_the_third_look() -> Iterable[int]:
        if next(looks) == 3:
            grid.away.clear()
        return real()

    grid.get_node_ids = back_at_the_third_look  # type: ignore[method-assign]
    replies = exchanged(grid, sites)
    assert replies[0] is not None and replies[0].metadata.src_node_id == first


def test_a_site_that_stays_away_is_late_and_the_others_are_not(deploy) -> None:
    grid = deploy(NORTH, SOUTH)
    first, _ = grid.get_node_ids()
    sites, _ = a_roster(2)
    sites.gather(grid, 5)
    grid.away.add(first)
    sites.look(grid)
    replies = exchanged(grid, sites, timeout=0.3)
    assert replies[0] is None
    assert replies[1] is not None


def test_sites_that_say_nothing_for_long_are_named(deploy, monkeypatch) -> None:
    """Their SuperNodes are there, so that nobody else would miss them."""
    monkeypatch.setattr(exchange, "NOTICE_SECONDS", 0.1)
    grid = deploy(NORTH, SOUTH)
    sites, words = a_roster(2)
    sites.gather(grid, 5)
    first, _ = grid.get_node_ids()
    real = grid.pull_messages
    grid.pull_messages = lambda ids: [  # type: ignore[method-assign]
        reply for reply in real(ids) if reply.metadata.src_node_id != first
    ]
    assert exchanged(grid, sites, timeout=1)[0] is None
    assert 2 <= len(words) <= 4
    assert all(re.match(r"Nothing has come from north for \d s; ", each) for each in words)


def test_a_message_that_kills_its_site_each_time_is_sent_a_few_times_only(deploy) -> None:
    grid = deploy(NORTH)
    (node,) = grid.get_node_ids()
    sites, _ = a_roster(1)
    sites.gather(grid, 5)
    losses = []

    def again(lost: int) -> None:
        losses.append(lost)
        grid.away.discard(lost)
        grid.absent_after[lost] = 0

    grid.absent_after[node] = 0
    grid.on_loss = again  # type: ignore[method-assign]
    (reply,) = exchanged(grid, sites).values()
    assert reply is not None and reply.has_error()
    assert len(losses) == roster.MOST_LOSSES + 1


@pytest.mark.parametrize(("crashes", "answers"), [(1, True), (roster.MOST_LOSSES + 1, False)])
def test_a_site_whose_process_dies_with_a_message_is_asked_again(deploy, crashes, answers) -> None:
    """Its node is there all the time."""
    grid = deploy(NORTH, SOUTH)
    first, _ = grid.get_node_ids()
    sites, _ = a_roster(2)
    sites.gather(grid, 5)
    grid.crashes[first] = crashes
    replies = exchanged(grid, sites)
    assert replies[0] is not None and replies[0].has_error() is not answers
    assert replies[1] is not None and not replies[1].has_error()
    assert grid.crashes[first] == 0


def test_a_site_whose_process_dies_while_it_says_who_it_is_is_asked_again(deploy) -> None:
    """Some times, and then the run does not begin with it."""
    grid = deploy(NORTH, SOUTH)
    first, second = grid.get_node_ids()
    sites, _ = a_roster(2)
    grid.crashes[first] = roster.MOST_LOSSES
    sites.gather(grid, 5)
    assert sites.present == (0, 1)
    sites, _ = a_roster(2)
    grid.crashes[second] = roster.MOST_LOSSES + 1
    with pytest.raises(RunError, match=f"SuperNode {second} cannot take part: .*died"):
        sites.gather(grid, 5)


def test_messages_say_their_round_and_outlive_it(deploy) -> None:
    grid = deploy(NORTH)
    sites, _ = a_roster(1)
    sites.gather(grid, 5)
    sent: list[Message] = []
    real = grid.push_messages

    def keep(messages: Iterable[Message]) -> Iterable[str]:
        own = list(messages)
        sent.extend(own)
        return real(own)

    grid.push_messages = keep  # type: ignore[method-assign]
    dict(Exchange(grid, 4000, sites.node, sites).run({0: RecordDict()}, "train", "17"))
    assert sent[-1].metadata.group_id == "17"
    assert sent[-1].metadata.ttl > 4000
