"""What an algorithm may do on the client.

No module here imports torch when it is loaded: the server's configuration reads algorithms' files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedvlm_flwr.arrays import Arrays

if TYPE_CHECKING:
    from torch import Tensor, nn

    Parameters = Mapping[str, nn.Parameter]


def gradient(parameter: nn.Parameter) -> Tensor:
    """A parameter's gradient, to be changed in place; zeros where the loss does not reach it."""
    if parameter.grad is None:
        parameter.grad = parameter.new_zeros(parameter.shape)
    return parameter.grad


@dataclass(frozen=True)
class RoundInput:
    """What a client's round starts from.

    Attributes:
        shared: the shared tensors as the server sent them.
        extra: what the server side of the algorithm sent beside them (`broadcast`).
        state: what this hook saved after this client's newest accepted round; empty before that.
    """

    shared: Arrays
    extra: Arrays = field(default_factory=dict)
    state: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class RoundOutput:
    """What a client's round leaves behind.

    Attributes:
        extra: arrays that travel to the server beside the trained ones, in a record of their own.
        state: arrays that stay on the client's disk until its next round.
    """

    extra: Arrays = field(default_factory=dict)
    state: Arrays = field(default_factory=dict)


@dataclass(frozen=True)
class PersonalModel:
    """A model of a client's own that is trained after the shared one, in as many steps.

    Attributes:
        arrays: where it starts.
        hook: acts in its training.
        prefix: of its tensors' names in what stays on the client's disk.
    """

    arrays: Arrays
    hook: ClientHook
    prefix: str


class ClientHook:
    """Four places in local training where an algorithm may act; this one acts in none."""

    def __init__(self, params: object) -> None:
        self.params = params

    def on_start(self, parameters: Parameters, start: RoundInput) -> None:
        """Before the first step, when the parameters hold the round's tensors."""

    def on_gradients(self, parameters: Parameters) -> None:
        """After the backward pass, before clipping and the optimizer step; may change gradients."""

    def on_clipped(self, parameters: Parameters) -> None:
        """After clipping, before the optimizer step; what is added here is not clipped."""

    def on_end(self, parameters: Parameters, steps: int) -> RoundOutput:
        """After the last of `steps` optimizer steps."""
        return RoundOutput()

    def on_sent(self, shared: Arrays, extra: Arrays, output: RoundOutput) -> Arrays:
        """What stays on the client's disk, of `on_end`'s output; its `state`.

        A short number format rounds what is sent: whatever must agree with the server's is made of
        what the server reads.

        Args:
            shared: the shared tensors after the round, as the server reads them.
            extra: what was sent beside them, as the server reads it.
        """
        return output.state

    def personal(self, start: RoundInput) -> PersonalModel | None:
        """A model of the client's own, to be trained too; None: it has none."""
        return None

    def scored(self, start: RoundInput) -> Arrays:
        """What is scored where clients score models of their own: the shared tensors' values."""
        return start.shared


class ClientHooks(ClientHook):
    """Several hooks one after the other; what they send and save goes under their own names."""

    def __init__(self, hooks: Sequence[ClientHook]) -> None:
        super().__init__(None)
        self._hooks = tuple(hooks)

    def on_start(self, parameters: Parameters, start: RoundInput) -> None:
        """Start each."""
        for hook in self._hooks:
            hook.on_start(parameters, start)

    def on_gradients(self, parameters: Parameters) -> None:
        """Each in turn changes the gradients."""
        for hook in self._hooks:
            hook.on_gradients(parameters)

    def on_clipped(self, parameters: Parameters) -> None:
        """Each in turn adds what is not clipped."""
        for hook in self._hooks:
            hook.on_clipped(parameters)

    def on_end(self, parameters: Parameters, steps: int) -> RoundOutput:
        """What they leave behind together."""
        self._outputs = [hook.on_end(parameters, steps) for hook in self._hooks]
        extra = {name: v for output in self._outputs for name, v in output.extra.items()}
        state = {name: v for output in self._outputs for name, v in output.state.items()}
        return RoundOutput(extra, state)

    def on_sent(self, shared: Arrays, extra: Arrays, output: RoundOutput) -> Arrays:
        """What stays of each."""
        state: Arrays = {}
        for hook, own in zip(self._hooks, self._outputs, strict=True):
            state |= hook.on_sent(shared, {name: extra[name] for name in own.extra}, own)
        return state
