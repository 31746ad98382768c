"""Small datasets in the published layout, written by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

Record = dict[str, Any]


def picture(
    path: Path, color: tuple[int, int, int] = (1, 2, 3), size: tuple[int, int] = (8, 6)
) -> None:
    """Write a picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def rectangles(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[Path]:
    """Write pictures of such sides, each of other colours and with a rectangle at another place."""
    paths = []
    for i, size in enumerate(sizes):
        drawing = Image.new("RGB", size, (240, 250 - 40 * i, 50 * i))
        ImageDraw.Draw(drawing).rectangle((2 * i, i, 12 + 5 * i, 15), fill=(40 * i, 10, 90))
        paths.append(folder / f"{i}.png")
        drawing.save(paths[-1])
    return paths


def record(image: str, answer: str = "Lung", question: str = "which organ?", **more: Any) -> Record:
    """A record of the published form."""
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": answer}]
    return {"image": image, "conversations": turns, **more}


def write(path: Path, records: Sequence[Any]) -> None:
    """Write a file of records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(records)), encoding="utf-8")


def organs(root: Path, **more: Any) -> Path:
    """Three clients with two pictures each, and a test picture of each client, all distinct."""
    for client in range(3):
        names = [f"slake/{client}{i}.png" for i in range(3)]
        for i, name in enumerate(names):
            picture(root / "image" / name, (client, i, 0))
        answers = ["Lung", "yes"]
        train = [record(n, a, **more) for n, a in zip(names, answers, strict=False)]
        write(root / f"clients/train/client_{client}.json", train)
        write(root / f"clients/test/client_{client}.json", [record(names[2], "no", **more)])
    test = [record(f"slake/{client}2.png", "no", **more) for client in range(3)]
    write(root / "central_training/test/test.json", test)
    return root


def published_params(root: Path, **changes: Any) -> Mapping[str, Any]:
    """The values of a published dataset's YAML."""
    return {
        "title": "mini",
        "root": str(root),
        "variant": None,
        "task": "vqa",
        "file_tasks": {},
        "tasks": None,
        "box_decimals": 3,
        "allow_unknown_words": True,
        "long_answers": "refuse",
        "answer_tokens": 8,
        "making": None,
        "allow_errors": 0,
        "shared_pictures": "refuse",
        "max_pixels": 1_000_000,
        **changes,
    }


def questions(root: Path, number: int) -> Path:
    """A folder of `dataset=folder dataset.task=vqa`: pictures with a question each."""
    rows = []
    for i in range(number):
        picture(root / f"{i}.png", (20 * i % 256, i, 0), (40, 30))
        row = {"id": f"{i}", "image": f"{i}.png", "question": "which organ?", "answer": "lung"}
        rows.append(json.dumps({**row, "task": "vqa"}))
    (root / "questions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return root
