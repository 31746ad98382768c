"""Ask a finished run's model about pictures of your own.

usage: fedvlm predict RUN --image FILE ... --question TEXT [--image ... --question ...]
                      [--from FILE.jsonl] [--task TASK] [--tokens N] [--client K]
                      [--device DEVICE] [--out FILE.jsonl] [--save FILE.png]

Each --image goes with the --question at its place; one --image alone is asked every --question.
Several files behind one --image are shown together, at the places that <image> has in the
question, or before it. --from reads lines {"image": "a.png", "question": "..."}. Answers are those
of the run's own evaluation: greedy, ended after as many tokens (--tokens), boxes in fractions of
the picture. --task says of which task the questions are, where the test set has no such words.
--out writes the answers as JSON lines, --save draws an answer's boxes onto its picture.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedvlm_flwr.cli.base import client_model
from fedvlm_flwr.errors import RunError
from fedvlm_flwr.images.boxes import parse_boxes
from fedvlm_flwr.images.marking import save_with_boxes
from fedvlm_flwr.paths import write_atomic
from fedvlm_flwr.process import Process
from fedvlm_flwr.takehome.answering import Question, answer, read_questions
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.loading import load_run_model


def main(arguments: list[str]) -> int:
    """Load, ask, print, write."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    try:
        options = _parser().parse_args(arguments)
    except SystemExit:  # argparse has said what is wrong
        return 2
    questions = pairs(options.image, options.question, options.task)
    if options.source is not None:
        lines = read_questions(options.source.expanduser())
        questions += [replace(one, task=one.task or options.task) for one in lines]
    require_usable(questions, options)
    run = FinishedRun.open(options.run)
    # Nothing of pictures that are shown here stays on the disk.
    engine = replace(run.config.engine, features_on_disk=False)
    run = replace(run, config=replace(run.config, engine=engine))
    own = client_model(run, options.client)
    model = load_run_model(run, Process(), options.device, own)
    rows = answer(model, questions, options.tokens)
    for row in rows:
        print(row["prediction"] if len(rows) == 1 else _line(row))
    if options.out is not None:
        write_atomic(options.out, "".join(json.dumps(row) + "\n" for row in rows))
    if options.save is not None:
        return draw(questions[0].images[0], rows[0]["prediction"], options.save)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fedvlm predict", add_help=False)
    parser.add_argument("run", type=Path)
    parser.add_argument("--image", type=Path, nargs="+", action="append", default=[])
    parser.add_argument("--question", action="append", default=[])
    parser.add_argument("--from", type=Path, dest="source")
    parser.add_argument("--task")
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--client", type=int)
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--save", type=Path)
    return parser


def pairs(
    images: Sequence[Sequence[Path]], texts: Sequence[str], task: str | None
) -> list[Question]:
    """Questions about the pictures at their place, or all about the only ones.

    Raises:
        RunError: there are not as many of them.
    """
    groups = list(images) * len(texts) if len(images) == 1 else list(images)
    if len(groups) != len(texts) or (images and not texts):
        raise RunError(
            f"There are {len(images)} --image and {len(texts)} --question; give one --question for "
            "each --image, or several for one."
        )
    return [
        Question(tuple(path.expanduser() for path in paths), text, task)
        for paths, text in zip(groups, texts, strict=True)
    ]


def require_usable(questions: Sequence[Question], options: argparse.Namespace) -> None:
    """Refuse what cannot be answered or drawn, before a model is loaded.

    Raises:
        RunError: says what to give.
    """
    if not questions:
        raise RunError("There is no question; give --image and --question, or --from.")
    if options.tokens is not None and options.tokens < 1:
        raise RunError(f"--tokens {options.tokens} must be 1 at least.")
    if options.save is not None and (len(questions), len(questions[0].images)) != (1, 1):
        raise RunError("--save draws one answer onto one picture; ask one question about one.")


def draw(image: Path, text: str, target: Path) -> int:
    """Draw an answer's boxes; 1 where it holds none."""
    boxes = parse_boxes(text)
    if not boxes:
        print(f"error: the answer {text[:80]!r} holds no box to draw.", file=sys.stderr)
        return 1
    save_with_boxes(image, boxes, target)
    print(target)
    return 0


def _line(row: dict[str, Any]) -> str:
    images = row["image"] if isinstance(row["image"], str) else " ".join(row["image"])
    return f"{images} | {row['question']} | {row['prediction']}"
