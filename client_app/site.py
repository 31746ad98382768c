"""What a node may be asked, and where it keeps what stays with it."""

import re
from collections.abc import Mapping
from pathlib import Path

from client_app.node import is_simulated
from fedvlm_flwr.config import Scalar
from fedvlm_flwr.errors import RequestError, StateError
from fedvlm_flwr.messages import ScoresRequest, TrainRequest
from fedvlm_flwr.messages.request import ClientRequest
from fedvlm_flwr.paths import client_states


def check_request(request: TrainRequest | ScoresRequest, node_config: Mapping[str, Scalar]) -> None:
    """Refuse what a site cannot do: be another client, or train on another one's examples.

    Raises:
        RequestError: the request is for another site, or for pooled examples.
    """
    if is_simulated(node_config):
        return
    own = node_config.get("partition-id", -1)
    if request.client != own:
        raise RequestError(
            f"The message is for client {request.client}, but this site is client {own}."
        )
    if isinstance(request, TrainRequest) and request.data != (request.client,):
        raise RequestError(
            f"The message asks for the examples of clients {list(request.data)}, but a site has "
            "only its own; run the pooled baseline in a simulation."
        )


def state_folder(request: ClientRequest, node_config: Mapping[str, Scalar]) -> Path:
    """Where what stays with a client lies.

    A simulated client's is in the run folder, found by the link of the request's session. A site's
    is in `state-dir` of its node-config, or in the cache folder, under the run's id.

    Raises:
        RequestError: an id is not one that this version makes.
        StateError: the run that asks has ended.
    """
    if is_simulated(node_config) and request.session:
        folder = client_states() / _checked(request.session)
        if not folder.is_dir():
            raise StateError(f"The run that asks has ended: there is no {folder}; resume it.")
        return folder
    root = node_config.get("state-dir") or client_states()
    return Path(str(root)).expanduser() / _checked(request.run)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", name):
        raise RequestError(f"The message's run id {name!r} is malformed; update the server's app.")
    return name
