"""Test pictures with question, reference and answers, before and after training."""

from collections.abc import Iterator, Sequence

from fedvlm_flwr.errors import FedVLMError
from fedvlm_flwr.report import gallery
from fedvlm_flwr.report.experiment import Experiment
from fedvlm_flwr.report.history import History
from fedvlm_flwr.report.page.parts import Cards, Panels, Part, Section, Text

ORDER = 100
GROWS = False
ROWS = 5  # whose answers are shown side by side
INTRODUCTION = (
    "A seeded choice of test examples, those first whose answer training has changed. Boxes: white "
    "is the reference, dashed in a row's color the answer after training, dotted the one before."
)


def section(experiment: Experiment) -> Section | None:
    """A gallery for each dataset that a server's test set of is at hand."""
    parts: list[Part] = []
    datasets = _by_dataset(experiment)
    for name, rows in datasets.items():
        answers = {row: gallery.last_answers(run) for row, (run, _) in rows.items()}
        if not any(answers.values()):
            continue  # sites score, or clients have models of their own: no answer has left them
        first = next(run for run, _ in rows.values())
        where = f"{name}: " if len(datasets) > 1 else ""
        try:
            parts += _cards(rows, answers, where, int(first.seed or 0))
        except FedVLMError as error:
            parts.append(Text(f"{where}{gallery.reason(error)}", True))
    names = [] if experiment.is_single else list(map(experiment.row_label, experiment.rows))
    lead: list[Part] = [Text(INTRODUCTION), Panels((), series=names[:ROWS])]
    return Section("gallery", "Gallery", [*lead, *parts]) if parts else None


def _by_dataset(experiment: Experiment) -> dict[str, dict[str, tuple[History, int]]]:
    """For each dataset the first run of each row, and the row's place."""
    result: dict[str, dict[str, tuple[History, int]]] = {}
    for column in experiment.columns:
        for place, row in enumerate(experiment.rows):
            runs = experiment.cell(row, column)
            if runs:
                own = result.setdefault(str(runs[0].keys.get("dataset.name", "")), {})
                own.setdefault(experiment.row_label(row), (runs[0], place))
    return result


def _cards(
    rows: dict[str, tuple[History, int]],
    answers: dict[str, dict[str, str]],
    where: str,
    seed: int,
) -> Iterator[Cards]:
    run = next(run for row, (run, _) in rows.items() if answers[row])
    sources: Sequence[gallery.Source] = [
        gallery.Source("before training", gallery.first_answers(run), -1),
        *(
            gallery.Source("after training" if len(rows) == 1 else row, answers[row], place)
            for row, (_, place) in list(rows.items())[:ROWS]
            if answers[row]
        ),
    ]
    for title, cards in gallery.cards_by_group(sources, gallery.test_examples(run), seed):
        yield Cards(f"{where}{title}", cards)
