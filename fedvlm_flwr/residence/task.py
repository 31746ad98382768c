"""One message that a SuperNode has handed out: fetched, worked, and its reply handed over.

With `flower.py` all that a resident process uses of Flower's inside: the Runtime API of a
SuperNode. Flower's own `flower-superexec` and `flwr-clientapp` make the same calls, a new process
for each message. What is imported is the same in Flower 1.41 and 1.42, and no public interface.
"""

import time
from collections.abc import Callable
from threading import Lock

import httpx
from flwr.app import Context, Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, message_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullTaskInputRequest,
    PushAppMessagesRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_confirm_message_received_fn_protobuf,
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    ObjectPushError,
    ObjectUnavailableError,
    pull_and_inflate_object_from_tree,
    push_object_contents_from_iterable,
)
from flwr.supercore.interceptors import RuntimeTokenHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.retry import RetryInvoker, exponential
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.supercore.task_identity import TaskIdentity

from fedvlm_flwr.residence.outbox import Parcel

RETRY_SECONDS = 20.0  # a SuperNode that was away for longer has forgotten its tasks
MESSAGE_SECONDS = 10.0  # a task is announced shortly before its message is stored
WAIT_SECONDS = 0.05
LOOK_SECONDS = 1.0  # between two looks whether the SuperNode has gone on, while arrays are missing


class TaskLost(Exception):  # noqa: N818  # a state of affairs
    """The SuperNode has given the task up, was restarted, or cannot hand out its message."""


class Versioned:
    """Tells the SuperNode which Flower this is, as Flower's own processes do."""

    def __init__(self) -> None:
        self._headers = dict(RuntimeVersionMetadata.from_local_component("resident").as_metadata())

    def intercept(self, context: ProtobufRequestContext, call: ProtobufCall) -> httpx.Response:
        """Add the headers."""
        context.request.headers.update(self._headers)
        return call(context)


class Arrival:
    """Fetches the objects of a message, of which some are still on their way to the SuperNode.

    Args:
        fetch: Flower's; raises `ObjectUnavailableError` for one that is not there yet.
        gone_on: see `Task.pull`.
    """

    def __init__(self, fetch: Callable[[str], bytes], gone_on: Callable[[], bool]) -> None:
        self._fetch = fetch
        self._gone_on = gone_on
        self._lock = Lock()  # several threads fetch
        self._look = time.monotonic() + LOOK_SECONDS

    def __call__(self, object_id: str) -> bytes:
        """The object.

        Raises:
            ObjectUnavailableError: it is not there yet.
            ObjectPullError: it never will be.
        """
        try:
            return self._fetch(object_id)
        except ObjectUnavailableError:
            with self._lock:
                if time.monotonic() > self._look:
                    self._look = time.monotonic() + LOOK_SECONDS
                    if self._gone_on():
                        why = "its run ended while the message was on its way"
                        raise ObjectPullError(object_id, why) from None
            raise


class Task:
    """One message that the SuperNode has handed out, and its reply.

    Attributes:
        message: what the server sent; there after `pull`.
        context: the run's configuration and the node's; there after `pull`.
    """

    message: Message
    context: Context

    def __init__(self, address: str, token: str) -> None:
        retries = RetryInvoker(
            lambda: exponential(base_delay=0.2, max_delay=2),
            httpx.TransportError,
            max_tries=None,
            max_time=RETRY_SECONDS,
        )
        self._token = token
        self._client = RuntimeHttpClient.from_server_address(
            address,
            insecure=True,
            root_certificates=None,
            interceptors=[Versioned(), RuntimeTokenHttpInterceptor(token)],
            retry_invoker=retries,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def pull(self, gone_on: Callable[[], bool]) -> None:
        """Fetch the message, waiting for what the SuperNode has not received yet.

        The code that the server sent along is left where it is.

        Args:
            gone_on: whether the SuperNode has announced a further task. It receives a message whole
                before the next one: what it still lacks of this one then never comes, since its run
                ended while it was on its way.

        Raises:
            TaskLost: it cannot be had.
        """
        try:
            # In this order, and not Flower's: a task that has not begun when its process is killed
            # is handed out again; of those that have, the SuperNode answers for the ones whose
            # message was taken, and for an answer to the others it would wait for ever.
            head = self._head()
            opening = self._client.PullTaskInput(PullTaskInputRequest())
            TaskIdentity.task_id = opening.task_id
            TaskIdentity.run_id = opening.run.run_id
            TaskIdentity.node_id = opening.context.node_id
            self.context = context_from_proto(opening.context)
            if head is None:  # begun and given up, it is answered for by the SuperNode
                raise TaskLost("a process that was killed has taken its message")
            self.message = self._message(head, gone_on)
        except (httpx.HTTPError, ObjectPullError) as error:
            raise TaskLost(str(error)) from error

    def _head(self) -> ObjectTree | None:
        """What the message is made of; None: another process has taken it."""
        deadline = time.monotonic() + MESSAGE_SECONDS
        while not (answer := self._client.PullMessages(PullAppMessagesRequest())).messages_list:
            if time.monotonic() > deadline:
                return None
            time.sleep(WAIT_SECONDS)
        tree: ObjectTree = answer.message_object_trees[0]
        return tree

    def _message(self, tree: ObjectTree, gone_on: Callable[[], bool]) -> Message:
        node, run_id = Node(node_id=self.context.node_id), self.context.run_id
        fetch = make_pull_object_fn_protobuf(self._client.PullObject, node, run_id)
        message = pull_and_inflate_object_from_tree(
            tree,
            Arrival(fetch, gone_on),
            make_confirm_message_received_fn_protobuf(
                self._client.ConfirmMessageReceived, node, run_id
            ),
            return_type=Message,
            initial_backoff=WAIT_SECONDS,
        )
        # The object id is no part of the object.
        message.metadata.__dict__["_message_id"] = tree.object_id
        return message

    def parcel(self, reply: Message) -> Parcel:
        """The reply as `push` hands it over."""
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            tree, objects = get_object_tree(reply), get_all_nested_objects(reply)
        ending = PushTaskOutputRequest(
            context=context_to_proto(self.context), sub_status=SubStatus.COMPLETED, details=""
        )
        return Parcel(
            token=self._token,
            head=message_to_proto(remove_content_from_message(reply)),
            tree=tree,
            ending=ending,
            objects={name: each.deflate() for name, each in objects.items()},
        )

    def is_awaited(self, parcel: Parcel) -> bool:
        """Whether the SuperNode was told of a reply, and has not sent it yet.

        Raises:
            TaskLost: it has given the task up.
        """
        own = parcel.ending.context
        node = Node(node_id=own.node_id)
        try:
            make_pull_object_fn_protobuf(self._client.PullObject, node, own.run_id)(
                parcel.tree.object_id
            )
        except ObjectUnavailableError:
            return True
        except ObjectPullError:
            return False
        except httpx.HTTPError as error:
            raise TaskLost(str(error)) from error
        return True

    def push(self, parcel: Parcel) -> None:
        """Hand a reply over, or what the SuperNode has not got of it, and end the task.

        Raises:
            TaskLost: the SuperNode no longer waits for it.
        """
        own = parcel.ending.context
        opening = PushAppMessagesRequest(
            messages_list=[parcel.head], message_object_trees=[parcel.tree]
        )
        try:
            answer = self._client.PushMessages(opening)
            push_object_contents_from_iterable(
                ((name, parcel.objects[name]) for name in answer.objects_to_push),
                make_push_object_fn_protobuf(
                    self._client.PushObject,
                    Node(node_id=own.node_id),
                    run_id=own.run_id,
                    session_id=answer.session_id,
                ),
            )
            self._client.PushTaskOutput(parcel.ending)
        except (httpx.HTTPError, ObjectPushError) as error:
            raise TaskLost(str(error)) from error

    def beat(self) -> bool:
        """Say that the task is being worked; false: the SuperNode has given it up."""
        try:
            return bool(self._client.SendTaskHeartbeat(SendTaskHeartbeatRequest()).success)
        except httpx.HTTPStatusError:
            return False
        except httpx.TransportError:
            return True  # it may come back; the reply will tell
