"""Which clients there are, where they are reached, and who takes part in a round."""

import time
from collections.abc import Mapping, Sequence
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
    """Ask every node who it is, and say which node serves which client.

    Node ids are random in every run; clients are numbered by the partition-id of their node's
    configuration, so that the same seed picks the same clients. Simulated nodes can serve any
    client: fewer of them than clients share the clients in turn.

    Returns:
        The node of each client 0 .. num_clients - 1, and their numbers of examples.

    Raises:
        RunError: too few nodes within `timeout` seconds, two nodes with one partition-id, or a node
            without one.
    """
    deadline = time.monotonic() + timeout
    nodes = _wait_for_nodes(grid, num_clients, deadline, settle=SETTLE_SECONDS)
    sites = _ask(grid, nodes, timeout)
    simulated = all(site.simulated for site in sites.values())
    if len(nodes) < num_clients and not simulated:
        nodes = _wait_for_nodes(grid, num_clients, deadline, settle=timeout)
        sites = _ask(grid, nodes, timeout)
    if real := [site.site for site in sites.values() if site.site]:
        raise RunError(
            f"The SuperNode of '{real[0]}' is a real site, and this run simulates its clients; "
            "choose engine=superlink."
        )
    by_partition = _by_partition(sites)
    missing = [client for client in range(num_clients) if client not in by_partition]
    if not missing:
        own = {client: by_partition[client] for client in range(num_clients)}
        return Clients(own, _examples(sites, simulated))
    if simulated:
        ordered = [by_partition[partition] for partition in sorted(by_partition)]
        shared = {client: ordered[client % len(ordered)] for client in range(num_clients)}
        return Clients(shared, _examples(sites, simulated))
    raise RunError(
        f"num_clients={num_clients} but no SuperNode has partition-id {missing[0]} (connected: "
        f"{sorted(by_partition)}); start it or lower num_clients."
    )


def _wait_for_nodes(grid: Grid, num_nodes: int, deadline: float, settle: float) -> list[int]:
    changed, nodes = time.monotonic(), sorted(grid.get_node_ids())
    while len(nodes) < num_nodes and time.monotonic() < deadline:
        if nodes and time.monotonic() - changed > settle:
            break
        time.sleep(0.1)
        now = sorted(grid.get_node_ids())
        if now != nodes:
            changed, nodes = time.monotonic(), now
    if not nodes:
        raise RunError("No SuperNode connected in time; start them, or raise round_timeout.")
    return nodes


def _ask(grid: Grid, nodes: list[int], timeout: float) -> dict[int, SiteReply]:
    questions = [Message(RecordDict(), node, MessageType.QUERY) for node in nodes]
    sites: dict[int, SiteReply] = {}
    for answer in grid.send_and_receive(questions, timeout=timeout):
        node = answer.metadata.src_node_id
        try:
            require_answer(answer)
            sites[node] = SiteReply.unpack(answer.content)
        except RejectedMessage as verdict:
            raise RunError(
                f"SuperNode {node} cannot run the ClientApp ({verdict}); mend its installation."
            ) from verdict
    if silent := sorted(set(nodes) - set(sites)):
        raise RunError(
            f"SuperNode {silent[0]} did not answer within {timeout:g} s; restart it, or raise "
            "round_timeout."
        )
    return sites


def _by_partition(sites: Mapping[int, SiteReply]) -> dict[int, int]:
    nodes: dict[int, int] = {}
    for node, site in sorted(sites.items()):
        if site.partition < 0:
            raise RunError(
                f"SuperNode {node} has no partition-id; start it with "
                "--node-config 'partition-id=0' (its own number)."
            )
        if site.partition in nodes:
            raise RunError(
                f"Two SuperNodes have partition-id={site.partition}; give each a number of its own."
            )
        nodes[site.partition] = node
    return nodes


def _examples(sites: Mapping[int, SiteReply], simulated: bool) -> dict[int, int]:
    """Training examples by client; a site speaks for itself only, simulated nodes in turn."""
    return {
        site.partition + i * len(sites): count
        for site in sites.values()
        for i, count in enumerate(site.examples if simulated else site.examples[:1])
    }


def choose_cohort(
    candidates: Sequence[int], size: int, seed: int, stage: int, server_round: int
) -> list[int]:
    """The clients of a round, sorted: all of them, or a seeded sample without replacement."""
    if size >= len(candidates):
        return sorted(candidates)
    draw = stream(seed, "cohort", stage, server_round)
    picks = draw.choice(len(candidates), size, replace=False)
    return sorted(candidates[int(pick)] for pick in picks)
