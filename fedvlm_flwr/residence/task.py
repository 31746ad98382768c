"""One message that a SuperNode has handed out: fetched, worked, and its reply handed over.

With `flower.py`, and the error and messages that `arrival.py` and the two files know, all that a
resident process uses of Flower's inside: the Runtime API of a SuperNode. Flower's own
`flower-superexec` and `flwr-clientapp` make the same calls, a new process for each message. What is
imported is the same in Flower 1.41 and 1.42, and no public interface.
"""

import contextlib
import time

import httpx
from flwr.app import Context, Message
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SubStatus
from flwr.common.serde import context_from_proto, context_to_proto, message_to_proto
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import (
    PullAppMessagesRequest,
    PullAppMessagesResponse,
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

from fedvlm_flwr.residence.arrival import LOOK_SECONDS, Arrival, RunOver, Surroundings, TaskLost
from fedvlm_flwr.residence.inbox import Inbox
from fedvlm_flwr.residence.outbox import Parcel

RETRY_SECONDS = 20.0  # a SuperNode that was away for longer has forgotten its tasks
MESSAGE_SECONDS = 10.0  # a task is announced shortly before its message is stored
WAIT_SECONDS = 0.05


class Versioned:
    """Tells the SuperNode which Flower this is, as Flower's own processes do."""

    def __init__(self) -> None:
        self._headers = dict(RuntimeVersionMetadata.from_local_component("resident").as_metadata())

    def intercept(self, context: ProtobufRequestContext, call: ProtobufCall) -> httpx.Response:
        """Add the headers."""
        context.request.headers.update(self._headers)
        return call(context)


class Task:
    """One message that the SuperNode has handed out, and its reply.

    Args:
        number: that the SuperNode has given it.

    Attributes:
        announced: when the SuperNode has announced it, in a form that sorts.
        message: what the server sent; there after `pull`.
        context: the run's configuration and the node's; there after `pull`.
    """

    message: Message
    context: Context

    def __init__(self, address: str, token: str, number: int = 0, announced: str = "") -> None:
        retries = RetryInvoker(
            lambda: exponential(base_delay=0.2, max_delay=2),
            httpx.TransportError,
            max_tries=None,
            max_time=RETRY_SECONDS,
        )
        self._token, self._number = token, number
        self._has_begun = False
        self.announced = announced
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

    # A SuperNode works one message after the other: it fetches one, waits for a reply, whichever
    # that is, and sends it. So each of its messages needs one answer and no more: without one it
    # waits for ever, and one too many takes the place of the next message's, which is then sent
    # with the one after that. It answers itself for a task that has begun and that nothing is
    # heard of any more; one that has not begun is handed out again. Its message is handed out once.
    # Where a run ends while a message is on its way, the SuperNode goes on without an answer, and
    # leaves the task. Hence a task begins here when its message is whole, and not first of all,
    # as in Flower's own process.

    def pull(self, inbox: Inbox, surroundings: Surroundings) -> None:
        """Fetch the message, waiting for what the SuperNode has not received yet.

        The code that the server sent along is left where it is.

        Args:
            inbox: where it is written down what the message is made of, until it is whole.
            surroundings: that say when not to wait. A SuperNode receives a message whole before it
                announces the next one: what it lacks of this one by then never comes.

        Raises:
            TaskLost: it cannot be had.
        """
        try:
            self._fetch(inbox, surroundings)
        except RunOver:
            self.forget()
            raise
        except httpx.HTTPError as error:
            raise TaskLost(str(error)) from error
        except ObjectPullError as error:
            self._leave()
            raise TaskLost(str(error)) from error
        except TaskLost:
            raise
        except Exception:  # whatever a stranger's bytes set off
            self._leave()
            raise

    def _fetch(self, inbox: Inbox, surroundings: Surroundings) -> None:
        opening = self._opening()
        if opening is not None:
            inbox.keep(self._number, opening)
        else:
            opening = inbox.take(self._number)
        if opening is None:
            if surroundings.has_gone_on(self.announced):
                raise RunOver
            self._leave()
            raise TaskLost("a process that was killed has taken its message")
        try:
            self.message = self._message(opening, inbox, surroundings)
        except httpx.HTTPError:  # given up, as after a standstill: it is handed out again
            inbox.keep(self._number, opening)
            raise
        except RunOver:
            inbox.clear()
            raise

    def _opening(self) -> PullAppMessagesResponse | None:
        """The message without its content; None: another process has taken it."""
        deadline = time.monotonic() + MESSAGE_SECONDS
        while not (answer := self._client.PullMessages(PullAppMessagesRequest())).messages_list:
            if time.monotonic() > deadline:
                return None
            time.sleep(WAIT_SECONDS)
        return answer

    def _begin(self) -> None:
        """Have the SuperNode wait for this process, and answer where it hears no more of it."""
        opening = self._client.PullTaskInput(PullTaskInputRequest())
        TaskIdentity.task_id = opening.task_id
        TaskIdentity.run_id = opening.run.run_id
        TaskIdentity.node_id = opening.context.node_id
        self.context = context_from_proto(opening.context)
        self._has_begun = True

    def _leave(self) -> None:
        """Have the SuperNode answer for the task, of which it will hear no more."""
        if not self._has_begun:
            with contextlib.suppress(httpx.HTTPError):  # it has forgotten it
                self._begin()

    def _message(
        self, opening: PullAppMessagesResponse, inbox: Inbox, surroundings: Surroundings
    ) -> Message:
        facts, tree = opening.messages_list[0].metadata, opening.message_object_trees[0]
        place = (Node(node_id=facts.dst_node_id), facts.run_id)
        confirm = make_confirm_message_received_fn_protobuf(
            self._client.ConfirmMessageReceived, *place
        )

        def begin_and_confirm(object_id: str) -> None:
            self._begin()
            inbox.clear()
            confirm(object_id)

        fetch = make_pull_object_fn_protobuf(self._client.PullObject, *place)
        message = pull_and_inflate_object_from_tree(
            tree,
            Arrival(fetch, self.announced, surroundings),
            begin_and_confirm,
            return_type=Message,
            max_time=None,
            max_tries_per_object=None,
            initial_backoff=WAIT_SECONDS,
            backoff_cap=LOOK_SECONDS,
        )
        # The object id is no part of the object.
        message.metadata.__dict__["_message_id"] = tree.object_id
        return message

    def forget(self) -> None:
        """Have the SuperNode forget the task without an answer."""
        ending = PushTaskOutputRequest(sub_status=SubStatus.FAILED, details=str(RunOver()))
        with contextlib.suppress(httpx.HTTPError):  # it has
            self._client.PushTaskOutput(ending)

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
