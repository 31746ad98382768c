"""The classes that a dataset declares, and the records that have another one."""

from collections import Counter
from typing import Any

from fedvlm_flwr.data.federated import FederatedData, examples
from fedvlm_flwr.data.scored import Scored
from fedvlm_flwr.errors import DataError
from fedvlm_flwr.tasks import classification

TASK = "classification"
NAMED = 10  # of the other classes


def foreign_labels(data: FederatedData, params: Any) -> Counter[str]:
    """How many training and test records have a class that is not declared, by class.

    Args:
        params: the dataset's, which may declare classes (`Scored.labels`).
    """
    labels = params.labels if isinstance(params, Scored) else None
    classes: Counter[str] = Counter()
    names = {classification.parse(label) for label in labels or ()}
    for table in (data.train, data.test) if labels is not None else ():
        rows = [row for row, task in enumerate(table["task"][:]) if task == TASK]
        answers = (example.answer for example in examples(table, data.root, rows))
        classes.update(name for name in map(classification.parse, answers) if name not in names)
    return classes


def require_labels(data: FederatedData, params: Any) -> None:
    """Refuse records of a class that is not declared.

    Args:
        params: see `foreign_labels`.

    Raises:
        DataError: says how many they are, and names their classes.
    """
    if other := foreign_labels(data, params):
        raise DataError(f"The dataset {data.name} has {described(other)}.")


def described(other: Counter[str]) -> str:
    """The records of other classes, in words that name the classes."""
    names = ", ".join(f"'{name}'" for name, _ in other.most_common(NAMED))
    return (
        f"{other.total():,} records of a class that dataset.labels does not name ({names}); mend "
        "them, or add the class"
    )
