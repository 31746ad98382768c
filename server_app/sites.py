"""The real sites of a run, as the server meets them before the first round."""

from collections.abc import Callable

from fedvlm_flwr.config import Config
from fedvlm_flwr.messages import SiteReply
from fedvlm_flwr.messages.site import TOO_FEW
from strategies.core.flower import FederatedStrategy
from strategies.core.roster import Judge, Membership, Roster


def roster_of(config: Config, judge: Judge, tell: Callable[[str], None]) -> Roster | None:
    """The roster of a run with real sites, nobody in it yet; None: its clients are simulated.

    Args:
        judge: see `Roster`.
        tell: see `Roster`.
    """
    if not config.engine.real_sites:
        return None
    names = None if config.sites is None else tuple(sorted(config.sites))
    roster = Roster(Membership(config.num_clients, names, config.min_sites), judge, tell)
    roster.names = list(names or ())
    return roster


def rank_that_does_not_fit(strategy: FederatedStrategy, site: SiteReply) -> str:
    """Why a site cannot have the rank that it says, in words; empty: it says none, or it can."""
    if not site.lora_rank or strategy.rule.mixed_ranks:
        return ""
    return (
        f"it has lora-rank={site.lora_rank}, and algorithm={strategy.name} has no meaning where "
        "ranks differ; leave it out of the node-config, or choose flexlora, hetlora, flora or "
        "fedex_lora"
    )


def described(roster: Roster) -> str:
    """The sites and what they hold, in one line."""
    return "; ".join(
        f"{roster.names[client]}: {_records(answer)}"
        for client, answer in sorted(roster.answers.items())
    )


def _records(answer: SiteReply) -> str:
    parts = [
        f"{task} {_count(training)} to train and {_count(held_out)} to score"
        for task, training, held_out in zip(
            answer.tasks.split(), answer.training, answer.held_out, strict=False
        )
    ]
    return ", ".join(parts)


def _count(number: int) -> str:
    return "too few to tell" if number == TOO_FEW else f"{number:,}"
