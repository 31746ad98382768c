"""Questions of one's own are answered as the run's evaluation answers them."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from fedvlm_flwr.cli import main
from fedvlm_flwr.run_folder import PREDICTIONS, RunFolder
from fedvlm_flwr.takehome.finished import FinishedRun
from tests.conftest import global_test_set


@pytest.fixture(scope="module")
def rows(finished: RunFolder) -> list[dict]:
    """Every test question of the run with its picture, its task and the run's answer."""
    told = {line["id"]: line["prediction"] for line in finished.lines(PREDICTIONS)}
    examples = global_test_set(FinishedRun.open(finished.path).config)
    return [
        {"image": str(e.image), "question": e.question, "task": task, "prediction": told[e.id]}
        for task, own in examples.items()
        for e in own
    ]


def test_a_file_of_the_test_questions_gets_the_runs_answers(
    finished: RunFolder, rows: list[dict], tmp_path: Path, capsys
) -> None:
    source, out = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    asked = [{key: row[key] for key in ("image", "question")} for row in rows]
    source.write_text("".join(json.dumps(row) + "\n" for row in asked))
    assert main(["predict", str(finished.path), "--from", str(source), "--out", str(out)]) == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    first = rows[0]
    line = f"{first['image']} | {first['question']} | {first['prediction']}"
    assert capsys.readouterr().out.splitlines()[0] == line
    assert len({row["prediction"] for row in rows}) > 3, "answers that never differ show nothing"


def test_boxes_are_drawn_in_fractions_of_the_picture(
    finished: RunFolder, rows: list[dict], tmp_path: Path, capsys
) -> None:
    """Of a picture with margins the box of the square that the model sees is turned back."""
    row = next(row for row in rows if row["task"] == "detection")
    wide = tmp_path / "wide.png"
    square = Image.open(row["image"]).convert("RGB")
    canvas = Image.new("RGB", (80, 64), (240, 240, 240))
    canvas.paste(square, (8, 0))
    canvas.save(wide)
    answers = {}
    for name, image in (("square", row["image"]), ("wide", str(wide))):
        saved = tmp_path / f"{name}-out.png"
        words = ["--image", image, "--question", row["question"], "--save", str(saved)]
        assert main(["predict", str(finished.path), *words]) == 0
        answers[name], place = capsys.readouterr().out.splitlines()
        assert place == str(saved)
        before, after = (Image.open(path).convert("RGB") for path in (image, saved))
        assert before.size == after.size and before.tobytes() != after.tobytes()
    left, top, width, height = map(float, re.findall(r"[\d.]+", answers["wide"])[:4])
    assert 0 <= left <= 1 and 0 <= top <= 1 and left + width <= 1 and top + height <= 1
    model = [(64 * top + 8) / 80, 64 * height / 80]  # as the model has told it, of two decimals
    assert [round(value, 2) for value in model] == pytest.approx(model, abs=1e-6)


def test_a_question_of_no_known_task_is_answered_boxes_and_all(
    finished: RunFolder, rows: list[dict], tmp_path: Path
) -> None:
    """The box of a picture with margins is turned back all the same."""
    image = tmp_path / "wide.png"
    Image.open(rows[0]["image"]).convert("RGB").resize((80, 64)).save(image)
    out = tmp_path / "out.jsonl"
    texts = ("where is the shape?", "where is the shape? ", "where is  the shape?")
    words = [word for text in texts for word in ("--question", text)]
    assert (
        main(["predict", str(finished.path), "--image", str(image), *words, "--out", str(out)]) == 0
    )
    known, same, unknown = map(json.loads, out.read_text().splitlines())
    assert known["task"] == same["task"] == "detection" and unknown["task"] is None
    assert unknown["prediction"] == known["prediction"]
    assert known["prediction"].startswith("[")


def test_an_answer_without_a_box_is_not_drawn(
    finished: RunFolder, rows: list[dict], tmp_path: Path, capsys
) -> None:
    row = next(row for row in rows if row["task"] == "vqa")
    words = ["--image", row["image"], "--question", row["question"]]
    saved = tmp_path / "out.png"
    assert main(["predict", str(finished.path), *words, "--save", str(saved)]) == 1
    output = capsys.readouterr()
    assert output.out == f"{row['prediction']}\n" and "holds no box" in output.err
    assert not saved.exists()


def test_several_pictures_and_several_questions(
    of_a_family: RunFolder, rows: list[dict], capsys
) -> None:
    """Where the model takes them; one picture is asked all questions."""
    images = [row["image"] for row in rows if row["task"] == "vqa"][:2]
    question = next(row["question"] for row in rows if row["task"] == "vqa")
    folder, task = str(of_a_family.path), ["--task", "vqa", "--tokens", "3"]
    assert main(["predict", folder, "--image", *images, "--question", "which is it?", *task]) == 0
    assert (
        main(
            [
                "predict",
                folder,
                "--image",
                images[0],
                "--question",
                question,
                "--question",
                "which is it?",
                *task,
            ]
        )
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[1].startswith(f"{images[0]} | {question} | ")
    two = ["--image", *images, "--question", "<image> is it?", *task]
    assert main(["predict", folder, *two]) == 1
    assert "has 1 places '<image>' and shows 2 pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "There is no question; give --image and --question, or --from"),
        (["--image", "a.png"], "There are 1 --image and 0 --question"),
        (["--image", "a.png", "--question", "who?", "--task", "vqa"], "There is no picture a.png"),
        (["--image", "a.png", "--question", "who?", "--task", "fly"], "Unknown task 'fly'"),
        (["--image", "a.png", "--question", "who?", "--tokens", "0"], "--tokens 0 must be 1"),
        (["--from", "nothing.jsonl"], "nothing.jsonl cannot be read"),
        (
            ["--image", "a", "--question", "q", "--question", "r", "--save", "c.png"],
            "--save draws one answer onto one picture",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    finished: RunFolder, tmp_path: Path, monkeypatch, capsys, words, message
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(finished.path), *words]) == 1
    (error,) = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, error)


@pytest.mark.parametrize(
    "line",
    [
        "[",
        "7",
        '{"image": 3, "question": "q"}',
        '{"image": "a"}',
        '{"image": "a", "question": "q", "answer": "x"}',
    ],
)
def test_a_line_that_is_no_question_is_named(
    finished: RunFolder, tmp_path: Path, capsys, line: str
) -> None:
    (tmp_path / "q.jsonl").write_text(f'{{"image": "a.png", "question": "q"}}\n{line}\n')
    assert main(["predict", str(finished.path), "--from", str(tmp_path / "q.jsonl")]) == 1
    assert "q.jsonl, line 2 is no" in capsys.readouterr().err
