"""What an algorithm may do on the client."""

from collections.abc import Mapping

from torch import nn

from fedvlm_flwr.wire import Arrays

Parameters = Mapping[str, nn.Parameter]


class ClientHook:
    """Three places in local training where an algorithm may act; FedAvg acts in none."""

    def __init__(self, params: object) -> None:
        self.params = params

    def on_start(self, parameters: Parameters, shared: Arrays) -> None:
        """Before the first step; `shared` holds the round's arrays as the server sent them."""

    def on_gradients(self, parameters: Parameters) -> None:
        """After the backward pass, before clipping and the optimiser step; may change gradients."""

    def on_end(self, parameters: Parameters, steps: int) -> Arrays:
        """After the last of `steps` steps; the arrays returned travel beside the trained ones."""
        return {}
