"""A client that runs out of memory fails with a sentence, and its process goes on with others."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from torch import nn

from fedvlm_flwr.config import Scalar
from fedvlm_flwr.models.out_of_memory import Doing, explaining
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.process import Process


class HasProcess(Protocol):
    """A worker, of which the process is asked for the configuration."""

    process: Process


Owner = TypeVar("Owner", bound=HasProcess)
Content = TypeVar("Content")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

Scalars = Mapping[str, Scalar]
Work = Callable[[Owner, Content, Scalars, Scalars], Content]
Train = Callable[Concatenate[Resident, Mapping[str, nn.Parameter], Arguments], Result]


def explains_out_of_memory(doing: Doing) -> Callable[[Work[Owner, Content]], Work[Owner, Content]]:
    """Have a worker's method say in an `OutOfMemory` what to change where memory runs out.

    The method takes a message's content, the run-config and the node-config.
    """

    def around(work: Work[Owner, Content]) -> Work[Owner, Content]:
        @wraps(work)
        def explained(
            owner: Owner, content: Content, run_config: Scalars, node_config: Scalars
        ) -> Content:
            return explaining(
                doing,
                lambda: owner.process.compose(run_config),
                lambda: work(owner, content, run_config, node_config),
            )

        return explained

    return around


def leaves_no_gradients(train: Train[Arguments, Result]) -> Train[Arguments, Result]:
    """Have local training leave no gradients behind, also where it fails."""

    @wraps(train)
    def tidy(
        resident: Resident,
        parameters: Mapping[str, nn.Parameter],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        try:
            return train(resident, parameters, *args, **kwargs)
        finally:
            for parameter in parameters.values():
                parameter.grad = None

    return tidy
