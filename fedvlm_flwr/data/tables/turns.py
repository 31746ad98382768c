"""Conversations as people's tools write them: LLaVA's `from`/`value`, OpenAI's `role`/`content`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedvlm_flwr.data.federated import PLACE
from fedvlm_flwr.data.tables.values import text_of
from fedvlm_flwr.errors import DataError

USER, MODEL, SYSTEM = "user", "model", "system"
ROLES: Mapping[str, str] = {
    "human": USER,
    "user": USER,
    "gpt": MODEL,
    "assistant": MODEL,
    "model": MODEL,
    "system": SYSTEM,
}


@dataclass(frozen=True, slots=True)
class Talk:
    """What a conversation says.

    Attributes:
        turns: pairs of a question, with the marks of its pictures, and an answer.
        pictures: those that stand in the turns themselves.
        system: whether it began with an instruction to the model, which is not among the turns.
    """

    turns: list[tuple[str, str]]
    pictures: list[Any]
    system: bool

    @property
    def marks(self) -> int:
        """How many pictures the questions mark."""
        return sum(question.count(PLACE) for question, _ in self.turns)


def talk_of(value: Any) -> Talk:
    """Read a conversation.

    Raises:
        DataError: it is none of questions and answers in turn; no whole sentence.
    """
    if not isinstance(value, list) or not value:
        raise DataError("the conversation is no list of turns; write one")
    messages = [_message(turn) for turn in value]
    system = messages[0][0] == SYSTEM
    rest = messages[1:] if system else messages
    roles = [role for role, _, _ in rest]
    if not rest or roles != [USER, MODEL] * (len(rest) // 2):
        raise DataError(
            f"the conversation has turns of {', '.join(roles) or 'nobody'}; questions and answers "
            "take turns, and an answer is the last"
        )
    texts = [text for _, text, _ in rest]
    questions, answers = texts[::2], texts[1::2]
    return Talk(
        [(question, a.strip()) for question, a in zip(questions, answers, strict=True)],
        [picture for _, _, pictures in rest for picture in pictures],
        system,
    )


def _message(turn: Any) -> tuple[str, str, list[Any]]:
    """Who speaks, the text with the places of pictures, and the pictures in it."""
    if not isinstance(turn, Mapping):
        raise DataError(f"a turn of the conversation is {turn!r:.60}; write an object")
    name = turn.get("from", turn.get("role"))
    role = ROLES.get(str(name).lower())
    if role is None:
        raise DataError(f"a turn is from {name!r:.60}; use one of {', '.join(ROLES)}")
    content = turn.get("value", turn.get("content"))
    if not isinstance(content, list):
        return role, text_of(content, "turn"), []
    texts, pictures, places = [], [], []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text":
            texts.append(text_of(part.get("text"), "turn"))
            places.append(texts[-1])
        elif kind in ("image", "image_url"):
            picture = part.get(kind)
            pictures.append(picture.get("url") if isinstance(picture, Mapping) else picture)
            places.append(PLACE)
        else:
            raise DataError(f"a turn holds {part!r:.60}; its parts are texts and images")
    marked = role == USER and not any(PLACE in text for text in texts)
    text = "\n".join(places if marked else texts)
    return role, text, [picture for picture in pictures if picture is not None]
