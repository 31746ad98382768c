"""ScienceQA with a dozen problems that have a picture and two that have none."""

import io
import json
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Value
from datasets import Image as ImageColumn
from datasets import Sequence as ListColumn
from PIL import Image

from tests.miniatures.coco import draw

# Split, id, topic, whether there is a picture, question, choices, answer, hint, caption.
PROBLEMS = (
    (
        "train",
        "1",
        "geography",
        1,
        "Which state is farthest north?",
        ["West Virginia", "Oregon"],
        1,
        "",
    ),
    (
        "train",
        "4",
        "physics",
        1,
        'What is "N" here?',
        ["a pole", "a force"],
        0,
        "Two magnets.\nLook.",
    ),
    ("train", "5", "biology", 1, "Is it a {choices} cell?", ["yes", "no", "both/neither"], 2, ""),
    ("train", "6", "grammar", 0, "Which is a sentence?", ["I ran.", "Running."], 0, "Read it."),
    ("train", "11", "geography", 1, "Où est Genève?", ["Suisse", "France"], 0, ""),
    ("train", "12", "physics", 1, "Which is colder?", ["the left", "the right"], 1, "At 20°C."),
    ("train", "13", "biology", 1, "Which organ is it?", ["heart", "lung", "liver"], 0, ""),
    ("val", "20", "geography", 1, "Which ocean is it?", ["Arctic", "Pacific"], 1, ""),
    ("val", "21", "biology", 1, "What do pandas eat?", ["bamboo", "fish"], 0, "A panda."),
    ("test", "30", "geography", 1, "Which colony is it?", ["Maine", "Ohio"], 1, ""),
    ("test", "31", "physics", 1, "Which is heavier?", ["a", "b"], 0, ""),
    ("test", "32", "biology", 1, "Which is a mammal?", ["whale", "shark"], 0, "Two animals."),
    ("test", "33", "physics", 1, "Is it a push?", ["push", "pull"], 1, ""),
    ("test", "34", "grammar", 0, "Which is a verb?", ["go", "dog"], 0, ""),
)
SUBJECTS = {"geography": "social science", "grammar": "language science"}
CAPTIONS = ("A map of {} with a star.", "A drawing of {} on a table.", "The sign of {} in a book.")


def caption(number: str) -> str:
    return CAPTIONS[int(number) % 3].format(f"place {number}")


def build(folder: Path) -> None:
    data = folder / "data" / "scienceqa"
    problems, captions = {}, {}
    for split, number, *rest in PROBLEMS:
        topic, pictured, *asked = rest
        problems[number] = _record(topic, asked) | {
            "image": "image.png" if pictured else None,
            "split": split,
        }
        if pictured:
            captions[number] = caption(number)
            draw(data / "images" / split / number / "image.png", int(number), (50, 40))
    data.mkdir(parents=True, exist_ok=True)
    (data / "problems.json").write_text(json.dumps(problems, indent=2))
    about = {"model": "nlpconnect/vit-gpt2-image-captioning", "num_beams": 4}
    (folder / "data" / "captions.json").write_text(json.dumps({**about, "captions": captions}))


def build_hub(folder: Path) -> None:
    """The same problems as parquet files, in the columns of the hub's copy."""
    features = Features(
        {
            "image": ImageColumn(),
            "choices": ListColumn(Value("string")),
            "answer": Value("int8"),
            **dict.fromkeys(
                _record("", ["", [], 0, ""]).keys() - {"choices", "answer"}, Value("string")
            ),
        }
    )
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        rows = []
        for _, number, topic, pictured, *asked in (one for one in PROBLEMS if one[0] == split):
            image = {"bytes": _png(int(number)), "path": "image.png"} if pictured else None
            rows.append({"image": image, **_record(str(topic), asked)})
        path = folder / "data" / f"{name}-00000-of-00001-1028f23e353fbe3e.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_list(rows, features=features).to_parquet(path)


def _record(topic: Any, asked: list[Any]) -> dict[str, Any]:
    question, choices, answer, hint = asked
    return {
        "question": question,
        "choices": choices,
        "answer": answer,
        "hint": hint,
        "task": "closed choice",
        "grade": "grade2",
        "subject": SUBJECTS.get(topic, "natural science"),
        "topic": topic,
        "category": str(topic).capitalize(),
        "skill": "Look at a picture",
        "lecture": "",
        "solution": "Look again.",
    }


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), (number, 9, 200)).save(buffer, "png")
    return buffer.getvalue()
