"""What a message is made of, on the site's disk while its arrays are waited for.

A SuperNode tells that once. A process that is ended meanwhile leaves its task to the next one,
which goes on from here; only once, since the message may be what ended it.
"""

from logging import WARNING

from flwr.common.logger import log
from flwr.proto.runtime_pb2 import PullAppMessagesResponse
from google.protobuf.message import DecodeError

from fedvlm_flwr.residence.kept_file import KeptFile

NUMBER_BYTES = 8


class Inbox(KeptFile):
    """Holds the message of one task, without its content."""

    NAME = "message_{}.bin"

    def keep(self, task: int, message: PullAppMessagesResponse) -> None:
        """Write it down; where that cannot be, its task cannot be gone on with, which is logged."""
        try:
            with self.writing() as file:
                file.write(task.to_bytes(NUMBER_BYTES) + message.SerializeToString())
        except OSError as error:
            log(WARNING, "A message is not kept while it is waited for: %s", error)

    def take(self, task: int) -> PullAppMessagesResponse | None:
        """The message of a task, once; None: it is not here."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if data[:NUMBER_BYTES] != task.to_bytes(NUMBER_BYTES):
            return None
        self.clear()
        try:
            message: PullAppMessagesResponse = PullAppMessagesResponse.FromString(
                data[NUMBER_BYTES:]
            )
        except DecodeError as error:
            log(WARNING, "%s is damaged (%s).", self._path, error)
            return None
        return message
