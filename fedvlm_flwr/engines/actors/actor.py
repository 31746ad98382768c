"""A client process: a Ray actor that calls a ClientApp, and keeps what it has loaded."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flwr.app import RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from fedvlm_flwr.engines.actors.logs import print_into
from fedvlm_flwr.engines.actors.parcels import Parcel, is_small, packed_reply, unpacked
from fedvlm_flwr.engines.base import load_component
from fedvlm_flwr.first_import import first_import


class Actor:
    """What a process of Ray's does for a run.

    Args:
        client: the ClientApp, as `module:name`.
        needs: modules that its work will need, loaded while the server still starts.
        log_file: takes what the process prints, where its folder is there.
    """

    def __init__(self, client: str, needs: Sequence[str], log_file: str) -> None:
        if Path(log_file).parent.is_dir():  # on another machine of a cluster it need not be
            print_into(Path(log_file))
        app = load_component(client)
        assert isinstance(app, ClientApp)
        self._app = app
        with first_import():
            for name in needs:
                importlib.import_module(name)

    def work(
        self, data: bytes, *parts: NDArray[np.uint8]
    ) -> tuple[tuple[RecordDict, Parcel | None], Parcel | None]:
        """The state of a message's node after it, and the reply: beside it, or by itself if large.

        The server asks for the first at once, and for a reply by itself when its turn comes.
        """
        message, context = unpacked(data, parts)
        parcel = packed_reply(self._app(message, context))
        return (
            ((context.state, parcel), None) if is_small(parcel) else ((context.state, None), parcel)
        )
