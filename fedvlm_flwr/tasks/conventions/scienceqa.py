"""Accuracy of option letters, read as LLaVA's evaluation of ScienceQA does (Liu et al. 2023).

An answer is a letter from A to E where it is nothing else, where it begins "A. ", or where it says
"The answer is A"; any other is wrong, "(A)" and "the answer is a" too.
"""

import re
from collections.abc import Sequence

from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks.base import means, read_pairs, right_answers

TASKS = frozenset({"vqa", "classification"})
BEGIN = re.compile(r"([A-E])\. ")
SENTENCE = (re.compile(r"The answer is ([A-E])\."), re.compile(r"The answer is ([A-E])"))
LAST = re.compile(r"(?:\A|[\s(])([A-E])[.)]*\Z")  # of a reference in other words


def each(
    task: str, predictions: Sequence[str], references: Sequence[str]
) -> dict[str, list[float]]:
    """Whether the letter is the right one.

    Returns:
        `accuracy`, 0 or 1 an example.

    Raises:
        DataError: empty or unequally long input, or a reference that names no option.
    """
    pairs = zip(*read_pairs(predictions, references), strict=True)
    right = [(option(answer), list(map(_letter, right_answers(truth)))) for answer, truth in pairs]
    return {"accuracy": [float(letter in letters) for letter, letters in right]}


def score(task: str, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The mean of `each`.

    Raises:
        DataError: as `each`.
    """
    return means(each(task, predictions, references))


def option(answer: str) -> str | None:
    """The letter of an answer; None where it names none."""
    line = answer.replace("\n", ". ")
    if re.fullmatch("[A-E]", line.strip()):
        return line.strip()
    match = BEGIN.match(line) or SENTENCE[0].search(line) or SENTENCE[1].search(line)
    return match[1] if match else None


def _letter(text: str) -> str:
    match = LAST.search(text.strip())
    letter = option(text) or (match[1] if match else None)
    if letter is None:
        raise DataError(
            f"The reference {text[:80]!r} names no option from A to E, which the convention "
            "scienceqa compares; take it out of eval.conventions."
        )
    return letter
