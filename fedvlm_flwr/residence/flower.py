"""The SuperNode beside a resident process, which hands out tasks through its Runtime API.

No public interface of Flower's; see `task.py`.
"""

import httpx
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
)
from flwr.supercore.constant import TaskType
from flwr.supercore.interceptors import SuperExecAuthHttpInterceptor
from flwr.supercore.protobuf.client import (
    ProtobufClientInterceptor,
)
from flwr.supercore.runtime import RuntimeHttpClient

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.residence.task import Task, Versioned

SIGNED = frozenset({"/flwr.proto.Runtime/AcquireTask"})
AWAY = (502, 503, 504)


class SuperNodeAway(Exception):  # noqa: N818  # a state of affairs, which ends by itself
    """Nobody answers at the SuperNode's address."""


class SuperNode:
    """The SuperNode of this site, which hands out tasks.

    Args:
        address: of its Runtime API, `host:port`.
        secret: what its `--superexec-auth-secret-file` holds; None: it was started without.
    """

    def __init__(self, address: str, secret: bytes | None) -> None:
        self.address = address
        interceptors: list[ProtobufClientInterceptor] = [Versioned()]
        if secret is not None:
            interceptors.append(
                SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=SIGNED)
            )
        self._client = RuntimeHttpClient.from_server_address(
            address,
            insecure=True,
            root_certificates=None,
            interceptors=interceptors,
        )

    def acquire(self) -> Task | None:
        """The next task; None: there is none now.

        Raises:
            SuperNodeAway: nobody answers.
            RunError: what answers is no such SuperNode, or refuses this process; says why.
        """
        request = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
        try:
            answer = self._client.AcquireTask(request)
        except httpx.TransportError as error:
            raise SuperNodeAway(str(error)) from error
        except httpx.HTTPStatusError as error:
            if error.response.status_code in AWAY:
                raise SuperNodeAway(str(error)) from error
            raise RunError(self._refusal(error.response)) from error
        except (ValueError, httpx.InvalidURL) as error:
            raise RunError(f"What answers at {self.address} is no SuperNode ({error}).") from error
        if not answer.token:
            return None
        facts = answer.task
        return Task(self.address, answer.token, facts.task_id, facts.pending_at)

    def _refusal(self, response: httpx.Response) -> str:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return (
                f"The SuperNode at {self.address} does not take this process's secret; set "
                "secret=FILE to the very file of its --superexec-auth-secret-file."
            )
        return (
            f"The SuperNode at {self.address} hands out no tasks ({response.status_code}: "
            f"{' '.join(response.text.split())[:200]}); start `flower-supernode --isolation "
            "process` of the same Flower version there, or set address=HOST:PORT to it."
        )
