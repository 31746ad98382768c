"""The real sites of a run: their numbers, and the nodes where they are reached now."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message, MessageType, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.messages import Failure, RejectedMessage, SiteReply
from strategies.core.events import Callback
from strategies.core.validation import require_answer

LOOK_SECONDS = 1.0  # between two looks, while sites are waited for
TELL_SECONDS = 10.0  # between two words on whom is waited for
ANSWER_SECONDS = 60.0  # for a node to say who it is, when all that are needed have: it loads a base
TWICE_SECONDS = 75.0  # Flower holds a SuperNode that was killed to be there for a minute

# Flower's codes for a message that was lost with its node or with the process that worked it, and
# not refused by it: a site's service may be started anew at any time, and finds the message again.
LOST = frozenset(
    {
        ErrorCode.CLIENT_APP_CRASHED,
        ErrorCode.MESSAGE_UNAVAILABLE,
        ErrorCode.REPLY_MESSAGE_UNAVAILABLE,
        ErrorCode.NODE_UNAVAILABLE,
    }
)
MOST_LOSSES = 3  # of one message at one node, until it counts as the client's failure

Judge = Callable[[SiteReply], str]


@dataclass(frozen=True)
class Membership:
    """Which sites take part.

    Attributes:
        number: how many; None: whichever are there in a round.
        names: who; None: any.
        least: sites without which a round does not begin, where their number is open.
    """

    number: int | None = None
    names: tuple[str, ...] | None = None
    least: int = 1

    @property
    def is_open(self) -> bool:
        """Whether any site may join in any round."""
        return self.number is None and self.names is None

    @property
    def enough(self) -> int:
        """Sites with which the run begins."""
        return len(self.names) if self.names is not None else self.number or self.least


@dataclass
class Roster(Callback):
    """Sites by name and number; nodes come and go, and a site that is back has perhaps another.

    Numbers are those of the sorted names of the sites that are there at the start; who joins later
    has the next one. They are remembered, since a site's state and draws go by its number.

    Attributes:
        judge: what of a site's answer does not fit this run, in words; empty: it fits.
        tell: takes words for the user.
        names: of the sites, by number.
        answers: what each site last said of itself, by number.
    """

    members: Membership
    judge: Judge
    tell: Callable[[str], None]
    names: list[str] = field(default_factory=list)
    answers: dict[int, SiteReply] = field(default_factory=dict)
    _counts: dict[int, int] = field(default_factory=dict)  # examples, as of before a resume
    _nodes: dict[str, list[int]] = field(default_factory=dict)  # by name, the earliest first
    _replies: dict[str, SiteReply] = field(default_factory=dict)
    _acquainted: set[int] = field(default_factory=set)  # nodes that have said who they are
    _questions: dict[str, int] = field(default_factory=dict)  # node by the id of an open question
    _crashes: Counter[int] = field(default_factory=Counter)  # of a node's process by the question
    _strict: bool = True  # before the first round a site that does not fit ends the run

    @property
    def examples(self) -> dict[int, int]:
        """Training examples of the sites, by number."""
        return self._counts | {k: sum(answer.examples) for k, answer in self.answers.items()}

    @property
    def present(self) -> tuple[int, ...]:
        """The numbers of the sites that are there, as of the last look."""
        return tuple(k for k in range(len(self.names)) if self.node(k) is not None)

    @property
    def has_ranks(self) -> bool:
        """Whether a site has adapters of a rank of its own."""
        return any(answer.lora_rank for answer in self.answers.values())

    def rank_of(self, client: int) -> int | None:
        """The rank that a site has said; None: it has said none."""
        answer = self.answers.get(client)
        return answer.lora_rank or None if answer else None

    def node(self, client: int) -> int | None:
        """Where a site is reached; None: it is not there.

        Of two nodes of one name it is the earlier, as long as that is there.
        """
        return next(iter(self._nodes.get(self.names[client], ())), None)

    def gather(self, grid: Grid, timeout: float) -> None:
        """Wait for the sites that the run begins with.

        Raises:
            RunError: they are not there in time; two have one name, or more are there than take
                part; or one does not fit this run: says who, and why.
        """
        began = last_word = whole = time.monotonic()
        while True:
            self.look(grid)
            there = sorted(name for name, nodes in self._nodes.items() if nodes)
            missing = self._missing(there)
            twice = [name for name in there if len(self._nodes[name]) > 1]
            waited = time.monotonic() - began
            if missing:
                whole = time.monotonic()
            all_known = not self._questions or time.monotonic() - whole > ANSWER_SECONDS
            if not missing and not twice and all_known:
                break
            if twice and waited > TWICE_SECONDS:
                raise RunError(
                    f"Two SuperNodes call themselves '{twice[0]}'; give each site a name of its "
                    "own."
                )
            if missing and waited > timeout:
                raise RunError(
                    f"The run needs {missing}, and after {timeout:g} s there are: "
                    f"{', '.join(there) or 'none'}; start their SuperNodes, or raise round_timeout."
                )
            if time.monotonic() - last_word >= TELL_SECONDS:
                last_word = time.monotonic()
                who = missing or "further SuperNodes to say who they are"
                self.tell(f"waiting for {who} (there: {', '.join(there) or 'none'})")
            time.sleep(LOOK_SECONDS)
        self._number(there)
        self._strict = False

    def require(self, grid: Grid, timeout: float) -> None:
        """Before a round: look who is there, and wait until as many are as a round takes.

        Raises:
            RunError: they are not there in time.
        """
        began = last_word = time.monotonic()
        while True:
            self.look(grid)
            missing = self.members.least - len(self.present) if self.members.is_open else 0
            if missing <= 0:
                return
            if time.monotonic() - began > timeout:
                raise RunError(
                    f"A round takes {self.members.least} sites (min_sites), and {missing} are not "
                    f"there after {timeout:g} s; start their SuperNodes, or lower min_sites."
                )
            if time.monotonic() - last_word >= TELL_SECONDS:
                last_word = time.monotonic()
                self.tell(f"waiting for {missing} more sites (min_sites={self.members.least})")
            time.sleep(LOOK_SECONDS)

    def _missing(self, there: Sequence[str]) -> str:
        """Whom the run cannot begin without, in words; empty: it can."""
        names = self.members.names
        if names is not None:
            return ", ".join(f"the site '{name}'" for name in names if name not in there)
        more = self.members.enough - len(there)
        return "" if more <= 0 else f"{more} more site{'s' if more > 1 else ''}"

    def _number(self, there: Sequence[str]) -> None:
        number = self.members.number
        back = [name for name in there if name in self.names]
        if number is not None and self.names and len(back) < number:
            absent = ", ".join(name for name in self.names if name not in there)
            raise RunError(f"This run began with the site {absent}, which is not there; start it.")
        if number is not None and not self.names and len(there) > number:
            raise RunError(
                f"num_clients={number}, but {len(there)} sites are there ({', '.join(there)}); "
                "name those that take part: sites=[...]."
            )
        if self.members.is_open or not self.names:
            self.names += [name for name in there if name not in self.names]
        for name in there:
            self._note(name)

    def look(self, grid: Grid) -> None:
        """See which nodes are there, and ask those that are new who they are; waits for nothing.

        A node that was away is asked again: its process is perhaps another, with another base.

        Raises:
            RunError: before the first round a site does not fit this run; says who, and why.
        """
        online = set(grid.get_node_ids())
        self._acquainted &= online
        self._nodes = {
            name: [node for node in nodes if node in online] for name, nodes in self._nodes.items()
        }
        new = sorted(online - self._acquainted - {*self._questions.values()})
        if new:
            questions = [Message(RecordDict(), node, MessageType.QUERY) for node in new]
            sent = grid.push_messages(questions)
            self._questions |= {key: node for key, node in zip(sent, new, strict=True) if key}
        while self._questions:
            arrived = list(grid.pull_messages(list(self._questions)))
            for answer in arrived:
                self._take(self._questions.pop(answer.metadata.reply_to_message_id), answer)
            if not arrived:
                return

    def _take(self, node: int, answer: Message) -> None:
        """What a node says of itself."""
        if answer.has_error() and answer.error.code in LOST:
            self._crashes[node] += answer.error.code == ErrorCode.CLIENT_APP_CRASHED
            if self._crashes[node] <= MOST_LOSSES:
                return  # it is asked again when it is there again
        self._acquainted.add(node)
        try:
            require_answer(answer)
            reply = SiteReply.unpack(answer.content)
        except RejectedMessage as verdict:
            return self._turn_away(answer, f"cannot take part: {verdict}.")
        if reply.simulated or not reply.site:
            return self._refuse(
                f"SuperNode {node} is a simulated one, and engine=superlink runs on real sites; "
                "choose engine=ray for a simulation."
            )
        names = self.members.names
        if names is not None and reply.site not in names:
            return self.tell(f"The site '{reply.site}' takes no part: sites={list(names)}.")
        if difference := self.judge(reply):
            return self._refuse(f"The site '{reply.site}' does not fit this run: {difference}.")
        self._nodes.setdefault(reply.site, []).append(node)
        self._replies[reply.site] = reply
        if not self._strict:
            self._join(reply.site)

    def _turn_away(self, answer: Message, words: str) -> None:
        """A node that cannot take part; where others are named it ends no run."""
        name = failed_site(answer)
        names = self.members.names
        who = f"The site '{name}'" if name else f"SuperNode {answer.metadata.src_node_id}"
        tell = self._refuse if names is None or name in names else self.tell
        tell(f"{who} {words}")

    def _join(self, name: str) -> None:
        """A site that comes while rounds are running: back, or new where that is allowed."""
        if name not in self.names:
            if not self.members.is_open:
                return self.tell(f"The site '{name}' takes no part: the run began without it.")
            self.names.append(name)
            self.tell(f"The site '{name}' has joined.")
        self._note(name)

    def _note(self, name: str) -> None:
        if name in self.names:
            self.answers[self.names.index(name)] = self._replies[name]

    def _refuse(self, sentence: str) -> None:
        if self._strict:
            raise RunError(sentence)
        self.tell(sentence)

    def memory(self) -> dict[str, Any]:
        """The names, by number, and what each has: a site that is away still counts."""
        return {"names": self.names, "examples": {str(k): n for k, n in self.examples.items()}}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Give each site its number again, and what it had."""
        self.names = [str(name) for name in memory.get("names", ())]
        self._counts = {int(k): int(n) for k, n in memory.get("examples", {}).items()}


def failed_site(answer: Message) -> str:
    """The name of the site whose failure an answer is; empty: it is none, or tells no name."""
    if answer.has_error():
        return ""
    try:
        return Failure.unpack(answer.content).site
    except RejectedMessage:
        return ""
