"""Which clients there are, where they are reached, and who takes part in a round."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import RejectedMessage, SiteReply
from fedvlm_flwr.seeding import stream
from strategies.core.validation import require_answer

SETTLE_SECONDS = 2.0  # simulated nodes register at once: a count that stands this long is final


@dataclass(frozen=True)
class Clients:
    """Where clients are reached, and what they say of themselves.

    Attributes:
        nodes: node id by client.
        examples: training examples by client, of those that tell.
    """

    nodes: dict[int, int]
    examples: dict[int, int]


def find_clients(grid: Grid, num_clients: int, timeout: float) -> Clients:
    """Ask every simulated node who it is, and say which node serves which client.

    Node ids are random in every run; nodes are ordered by their partition-id, so that the same seed
    picks the same clients. A node can serve any client: fewer of them than clients share the
    clients in turn.

    Returns:
        The node of each client 0 .. num_clients - 1, and their numbers of examples.

    Raises:
        RunError: there is no node, one does not answer within `timeout` seconds, or one is a real
            site.
    """
    nodes = wait_for_nodes(grid, num_clients, time.monotonic() + timeout)
    answers = _ask(grid, nodes, timeout)
    for node, answer in answers.items():
        if not answer.simulated:
            raise RunError(
                f"The SuperNode of '{answer.site or node}' is a real site, and this run simulates "
                "its clients; choose engine=superlink."
            )
    ordered = sorted(nodes, key=lambda node: answers[node].partition)
    return Clients(
        nodes={client: ordered[client % len(ordered)] for client in range(num_clients)},
        examples={
            answer.partition + i * len(answers): count
            for answer in answers.values()
            for i, count in enumerate(answer.examples)
        },
    )


def wait_for_nodes(grid: Grid, num_nodes: int, deadline: float) -> list[int]:
    """The ids of so many nodes, sorted, or of those that there are once no more come.

    Args:
        deadline: by `time.monotonic`.

    Raises:
        RunError: there is none.
    """
    changed, nodes = time.monotonic(), sorted(grid.get_node_ids())
    while len(nodes) < num_nodes and time.monotonic() < deadline:
        if nodes and time.monotonic() - changed > SETTLE_SECONDS:
            break
        time.sleep(0.1)
        now = sorted(grid.get_node_ids())
        if now != nodes:
            changed, nodes = time.monotonic(), now
    if not nodes:
        raise RunError("No SuperNode connected in time; start them, or raise round_timeout.")
    return nodes


def _ask(grid: Grid, nodes: list[int], timeout: float) -> dict[int, SiteReply]:
    """What each node says of itself; those that fail are asked once more."""
    sites: dict[int, SiteReply] = {}
    for _ in range(2):
        failures: dict[int, RejectedMessage] = {}
        questions = [
            Message(RecordDict(), node, MessageType.QUERY) for node in nodes if node not in sites
        ]
        for answer in grid.send_and_receive(questions, timeout=timeout):
            node = answer.metadata.src_node_id
            try:
                require_answer(answer)
                sites[node] = SiteReply.unpack(answer.content)
            except RejectedMessage as verdict:
                failures[node] = verdict
        if not failures:
            break
    if silent := sorted(set(nodes) - set(sites) - set(failures)):
        raise RunError(
            f"Node {silent[0]} did not answer within {timeout:g} s; raise round_timeout, or "
            "restart its SuperNode."
        )
    for node, reason in failures.items():
        raise RunError(
            f"Node {node} cannot run the ClientApp ({reason}); mend its installation."
        ) from reason
    return sites


def choose_cohort(
    candidates: Sequence[int], size: int, seed: int, stage: int, server_round: int
) -> list[int]:
    """The clients of a round, sorted: all of them, or a seeded sample without replacement."""
    if size >= len(candidates):
        return sorted(candidates)
    draw = stream(seed, "cohort", stage, server_round)
    picks = draw.choice(len(candidates), size, replace=False)
    return sorted(candidates[int(pick)] for pick in picks)
