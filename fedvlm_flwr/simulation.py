"""Whether this code runs for a simulated node, which no setting of a real one can claim to be."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_INSIDE: ContextVar[bool] = ContextVar("simulation", default=False)


@contextmanager
def simulating() -> Iterator[None]:
    """Mark what is called inside as a simulated node's work, in this very process."""
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def in_simulation() -> bool:
    """Whether the in-process engine calls, or this process is an actor of Ray's.

    A SuperNode's processes are neither, whatever its node-config says.
    """
    ray = sys.modules.get("ray")  # an actor has imported it; nobody else need pay for it
    is_actor = ray is not None and ray.is_initialized() and _actor(ray) is not None
    return _INSIDE.get() or is_actor


def _actor(ray: object) -> object:
    return ray.get_runtime_context().get_actor_id()  # type: ignore[attr-defined]
