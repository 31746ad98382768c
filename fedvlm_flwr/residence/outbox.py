"""The reply that is being handed over, on the site's disk until the SuperNode has it whole.

A SuperNode that was told of a reply waits for each of its objects, for ever and doing nothing else,
also where the process that had them was killed: the next process hands over what is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zipfile import BadZipFile, ZipFile

from flwr.proto.message_pb2 import Message as MessageHead
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import PushTaskOutputRequest
from google.protobuf.message import DecodeError

from fedvlm_flwr.errors import StateError
from fedvlm_flwr.residence.kept_file import KeptFile

TOKEN, HEAD, TREE, ENDING, OBJECTS = "token", "head", "tree", "ending", "objects/"


@dataclass(frozen=True)
class Parcel:
    """A reply in the parts in which a SuperNode takes it.

    Attributes:
        token: of the task that it ends.
        head: the message without its content.
        tree: the ids of its objects.
        ending: what ends the task, with the ids of its run and of this node.
        objects: the content of each object, by id.
    """

    token: str
    head: MessageHead
    tree: ObjectTree
    ending: PushTaskOutputRequest
    objects: Mapping[str, bytes]


class Outbox(KeptFile):
    """Holds one parcel."""

    NAME = "reply_{}.zip"

    def keep(self, parcel: Parcel) -> None:
        """Write a parcel down.

        Raises:
            OSError: it cannot be written.
        """
        with self.writing() as file, ZipFile(file, "w") as pack:
            pack.writestr(TOKEN, parcel.token)
            pack.writestr(HEAD, parcel.head.SerializeToString())
            pack.writestr(TREE, parcel.tree.SerializeToString())
            pack.writestr(ENDING, parcel.ending.SerializeToString())
            for name, content in parcel.objects.items():
                pack.writestr(OBJECTS + name, content)

    def left(self) -> Parcel | None:
        """What an earlier process has not handed over whole; None: there is nothing.

        Raises:
            StateError: the file is damaged; says so.
        """
        if not self._path.exists():
            return None
        try:
            with ZipFile(self._path) as pack:
                names = [name for name in pack.namelist() if name.startswith(OBJECTS)]
                return Parcel(
                    token=pack.read(TOKEN).decode(),
                    head=MessageHead.FromString(pack.read(HEAD)),
                    tree=ObjectTree.FromString(pack.read(TREE)),
                    ending=PushTaskOutputRequest.FromString(pack.read(ENDING)),
                    objects={name.removeprefix(OBJECTS): pack.read(name) for name in names},
                )
        except (BadZipFile, DecodeError, KeyError, ValueError) as error:
            raise StateError(f"{self._path} is damaged ({error}).") from error
