"""A request's client in charge of the resident model: what it starts from, what of it travels."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from client_app.private import OwnState, PrivateState
from client_app.site import Site, check_request, site_of, state_folder
from client_app.uplink import Outgoing, shared_of, unpacked
from fedvlm_flwr.adapters import PREVIOUS, is_residual, padded, stacked
from fedvlm_flwr.arrays import Arrays
from fedvlm_flwr.config import Config, Scalar
from fedvlm_flwr.messages import ScoresRequest, TrainRequest
from fedvlm_flwr.messages.request import ClientRequest
from fedvlm_flwr.messages.wire import FLOAT32
from fedvlm_flwr.models.resident import Resident, choose_device
from fedvlm_flwr.paths import models_in
from fedvlm_flwr.process import Process
from fedvlm_flwr.seeding import stream
from strategies.core.client_hook import RoundInput


@dataclass(frozen=True)
class Session:
    """The resident model as the client of a request has it.

    Attributes:
        parameters: the trained tensors, holding the shared values of the message and, where a
            tensor is not shared, the client's own.
        start: what the algorithm's hook starts from.
        private: what stays with the client.
        site: that it is; None: it is simulated.
        sent: the shared tensors that are trained, as they travel: at this client's rank.
        memory: what stayed with the client after its last round.
        request: whose session it is.
    """

    config: Config
    model: Resident
    parameters: dict[str, nn.Parameter]
    start: RoundInput
    private: PrivateState
    site: Site | None
    sent: Arrays
    memory: OwnState
    request: ClientRequest

    @classmethod
    def open(
        cls,
        process: Process,
        request: TrainRequest | ScoresRequest,
        run_config: Mapping[str, Scalar],
        node_config: Mapping[str, Scalar],
    ) -> "Session":
        """Put the request's client in charge of the model.

        Raises:
            FedVLMError: the configuration, the data or the model cannot be used; one sentence.
        """
        site = site_of(node_config)
        check_request(request, site)
        config, model = model_of(process, run_config, site)
        folder = state_folder(request, site)
        private = PrivateState(folder, request.run, request.client, request.stage)
        memory = private.load(request.state_round)
        sent, extra = shared_of(request, private)
        deposits = private.deposits(request.uses, unpacked(request.deposits))
        previous = deposits.pop(PREVIOUS, {})
        residual = stacked([v for name, v in sorted(deposits.items()) if is_residual(name)])
        halves = [values for name, values in deposits.items() if not is_residual(name)]
        sent |= {n: v for arrays in halves for n, v in arrays.items()}
        initial = model.initial[request.stage]
        shared = padded(sent, {name: values.shape for name, values in initial.items()})
        own = {
            name: memory.tensors.get(name, initial[name]) for name in initial if name not in shared
        }
        parameters = model.place(
            request.stage, shared | own, previous, residual, resting=request.resting
        )
        start = RoundInput({n: v for n, v in shared.items() if n in parameters}, extra, memory.hook)
        sent = {name: values for name, values in sent.items() if name in parameters}
        return cls(config, model, parameters, start, private, site, sent, memory, request)

    def outgoing(self, after: Arrays, extra: Arrays) -> Outgoing:
        """What of a round's result travels, and what stays with the client.

        Args:
            after: the trained tensors after it.
            extra: what the algorithm's hook sends.
        """
        place = self.request.stage, self.request.round, self.request.client
        draw = stream(self.config.seed, "rounding of changes", *place)
        dtype = self.config.wire.dtype if self.request.published else FLOAT32
        return Outgoing.of(self.sent, after, extra, self.memory, dtype, draw)

    def holding(self, arrays: Arrays) -> dict[str, nn.Parameter]:
        """The trained parameters of these names."""
        return {name: self.parameters[name] for name in arrays}


def model_of(
    process: Process, run_config: Mapping[str, Scalar], site: Site | None
) -> tuple[Config, Resident]:
    """The configuration as it is here, and its model on this process's device.

    Raises:
        FedVLMError: one of them cannot be used; one sentence.
    """
    config = process.compose(run_config)
    if site is not None:
        config = site.own(config)
    torch.set_num_threads(config.engine.threads)
    own = site.device if site else None
    device = choose_device(own or config.engine.device)
    with models_in(site.model_root if site else None):
        return config, process.model(config, device)
