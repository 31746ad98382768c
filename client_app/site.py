"""A real site: its name, its own data, and what it can be asked; a simulated node is none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from fedvlm_flwr.config import Config, Lora, Scalar
from fedvlm_flwr.config.tuning import FROM_THE_BASE
from fedvlm_flwr.errors import RequestError, SiteError, StateError
from fedvlm_flwr.messages import ScoresRequest, TrainRequest
from fedvlm_flwr.messages.request import ClientRequest
from fedvlm_flwr.paths import client_states
from fedvlm_flwr.simulation import in_simulation

# The node-config keys that Flower gives to a simulated node.
SIMULATED_KEYS = {"partition-id", "num-partitions"}
# Of keys that someone may expect here, what to use in their place.
INSTEAD = {
    **dict.fromkeys(SIMULATED_KEYS, "A site has a name and no number."),
    "worker": "Which process works a site's messages is said by its SuperNode's --isolation "
    "process, and is `fedvlm site serve` (docs/site.md).",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,63}")
EXAMPLE = """--node-config 'site="north" data-root="/data/north"'"""


def is_simulated(node_config: Mapping[str, Scalar]) -> bool:
    """Whether the node stands for whichever client it is asked to be."""
    return set(node_config) == SIMULATED_KEYS and in_simulation()


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the node-config of a SuperNode says of its site; a field's key has hyphens.

    Attributes:
        site: its name, by which the server addresses it.
        data_root: the folder of its data, in the form that the run's dataset reads.
        model_root: where its base models lie; None: in $FEDVLM_HOME/models.
        state_dir: where it keeps what stays with it; None: in $FEDVLM_HOME/clients.
        device: of its model; None: as the run's configuration says.
        lora_rank: of its adapters, no higher than the server's; None: as the configuration says.
    """

    site: str
    data_root: str
    model_root: str | None = None
    state_dir: str | None = None
    device: str | None = None
    lora_rank: int | None = None

    @classmethod
    def of(cls, node_config: Mapping[str, Scalar]) -> Self:
        """The site of a node-config.

        Raises:
            SiteError: a key is unknown or missing, or a value is none that it can have.
        """
        keys = [each.name.replace("_", "-") for each in fields(cls)]
        if odd := sorted(set(node_config) - set(keys)):
            hint = INSTEAD.get(odd[0], "")
            raise SiteError(
                f"The node-config key '{odd[0]}' is unknown; the keys are {', '.join(keys)}. "
                f"{hint}{' ' if hint else ''}Start the SuperNode with e.g. {EXAMPLE}."
            )
        for key in ("site", "data-root"):
            if not node_config.get(key):
                raise SiteError(f"The node-config has no {key}; start it with e.g. {EXAMPLE}.")
        values: dict[str, Any] = {k.replace("-", "_"): str(v) for k, v in node_config.items()}
        if not NAME.fullmatch(values["site"]):
            raise SiteError(
                f"site={values['site'][:80]!r} is no name; use 1 to 64 letters, digits, '.', '_' "
                "and '-', a letter or a digit first."
            )
        for key in ("data_root", "model_root"):
            path = values.get(key)
            if path is not None and not Path(path).expanduser().is_dir():
                raise SiteError(
                    f"{key.replace('_', '-')}={path} is no folder of this site; mend the "
                    "node-config and start the SuperNode again."
                )
        if (rank := values.get("lora_rank")) is not None:
            if not re.fullmatch(r"[1-9]\d{0,3}", rank):
                raise SiteError(f"lora-rank={rank[:80]!r} is no rank; use a whole number from 1.")
            values["lora_rank"] = int(rank)
        return cls(**values)

    @property
    def states(self) -> Path:
        """Where what stays with it lies."""
        return Path(self.state_dir).expanduser() if self.state_dir else client_states()

    def own(self, config: Config) -> Config:
        """A run's configuration as it is here: on the site's folder, all of which is its own.

        Raises:
            SiteError: the dataset is none that lies in a folder, or the run's adapters cannot have
                the site's rank.
        """
        self._require_rank(config.tuning.lora)
        choice = config.dataset
        params: Any = choice.params
        if "root" not in {each.name for each in fields(params)}:
            raise SiteError(
                f"dataset={choice.name} lies in no folder, and a site has data of its own; run "
                "with dataset=folder, or one of the published layout."
            )
        root = str(Path(self.data_root).expanduser())
        return replace(config, dataset=replace(choice, params=replace(params, root=root)))

    def _require_rank(self, lora: Lora) -> None:
        if self.lora_rank is None:
            return
        if self.lora_rank > lora.r:
            raise SiteError(
                f"lora-rank={self.lora_rank} is higher than tuning.lora.r={lora.r} of the run; "
                "lower it in the node-config."
            )
        if lora.init in FROM_THE_BASE:
            raise SiteError(
                f"lora-rank={self.lora_rank} cannot go with tuning.lora.init={lora.init} of the "
                "run, which takes the whole product of rank r out of the base; leave it out."
            )


def site_of(node_config: Mapping[str, Scalar]) -> Site | None:
    """The site that a node is; None: it is simulated.

    Raises:
        SiteError: see `Site.of`.
    """
    return None if is_simulated(node_config) else Site.of(node_config)


def check_request(request: TrainRequest | ScoresRequest, site: Site | None) -> None:
    """Refuse what a site cannot do: be another one, or train on another one's examples.

    Raises:
        RequestError: the request is for another site, or for pooled examples.
    """
    if site is None:
        return
    if request.site != site.site:
        raise RequestError(
            f"The message is for the site '{request.site}', but this is '{site.site}'."
        )
    if isinstance(request, TrainRequest) and request.data != (request.client,):
        raise RequestError(
            f"The message asks for the examples of clients {list(request.data)}, but a site has "
            "only its own; run the pooled baseline in a simulation."
        )


def state_folder(request: ClientRequest, site: Site | None) -> Path:
    """Where what stays with a client lies.

    A simulated client's is in the run folder, found by the link of the request's session. A site's
    is in `state-dir` of its node-config, or in the cache folder, under the run's id.

    Raises:
        RequestError: an id is not one that this version makes.
        StateError: the run that asks has ended.
    """
    if site is None and request.session:
        folder = client_states() / _checked(request.session)
        if not folder.is_dir():
            raise StateError(f"The run that asks has ended: there is no {folder}; resume it.")
        return folder
    return (site.states if site else client_states()) / _checked(request.run)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", name):
        raise RequestError(f"The message's run id {name!r} is malformed; update the server's app.")
    return name
