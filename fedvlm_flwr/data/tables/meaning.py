"""What a configuration says of a user's tables."""

from dataclasses import dataclass, field

from fedvlm_flwr.settings import SEEDS, setting


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """How the rows of the tables are to be read."""

    columns: dict[str, str | None]
    """Names of the tables' columns by what they hold: image, question, answer, conversations,
    task, split, id; null: a usual one."""
    splits: dict[str, str]
    """What further names of splits mean: train, validation or test."""
    task: str | None
    """The task of all rows, where no column tells it; null: a column does."""
    question: str | None
    """The question of all rows, where no column has one; null: a column does."""
    answers: str = field(metadata=setting(choices=("majority", "first", "any")))
    """Of several answers to a question the one that is taught: the most frequent, the first, or
    a drawn one. All of them count as right."""
    turns: str = field(metadata=setting(choices=("one", "first", "last", "all")))
    """Of a conversation's questions: `one` refuses conversations of several, `first` takes the
    first, `last` the last with those before it in the prompt, `all` each of them so."""
    split_seed: int = field(metadata=setting(least=0, most=SEEDS))
    """Of the draw of the test images, and of one of several answers."""
