"""The same twelve questions come in from every form, whatever tool has written it."""

import io
import json
import tarfile
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from PIL import Image

from fedvlm_flwr.data.checked import Checked
from fedvlm_flwr.data.federated import Example, FederatedData, examples
from fedvlm_flwr.data.framing import to_model_frame
from fedvlm_flwr.data.load import examine_data, load_data
from fedvlm_flwr.errors import ConfigError, DataError
from fedvlm_flwr.images.boxes import parse_boxes
from fedvlm_flwr.images.frame import padded
from fedvlm_flwr.tasks import load_task
from tests import choices, forms
from tests.fedvlm_flwr.data.test_folder import params


def load(root: Path, **changes: Any) -> FederatedData:
    return load_data(choices.dataset("folder", params(root, **{"task": "vqa", **changes})))


def examine(root: Path, **changes: Any) -> Checked:
    return examine_data(choices.dataset("folder", params(root, **{"task": "vqa", **changes})))


def all_examples(data: FederatedData) -> list[Example]:
    return [one for table in (data.train, data.test) for one in examples(table, data.root)]


@pytest.mark.parametrize("form", forms.FORMS)
def test_every_form_gives_the_same_questions_answers_and_pictures(
    form: str, tmp_path: Path
) -> None:
    data = load(forms.write(form, tmp_path / "set"))
    assert (len(data.train), len(data.test), data.left_out) == (10, 2, 0)
    records = all_examples(data)
    pairs = sorted((one.question, one.answer) for one in records)
    assert pairs == sorted(zip(forms.QUESTIONS, forms.ANSWERS, strict=True))
    for one in records:
        number = forms.QUESTIONS.index(one.question)
        with Image.open(one.images[0]) as picture:
            assert picture.getpixel((0, 0)) == (20 * number, 60, 60)


# -- splits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-00000-of-00001.jsonl", "test-00000-of-00001.jsonl"),
        ("train_0.jsonl", "my_test.jsonl"),
        ("training.jsonl", "eval.jsonl"),
        ("train/part.jsonl", "test/part.jsonl"),
        ("train_set/a.jsonl", "test_set/a.jsonl"),
    ],
)
def test_splits_go_by_the_names_of_files_and_folders(train: str, test: str, tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / train, forms.flat(*range(8)))
    forms.lines(tmp_path / test, forms.flat(*range(8, 12)))
    data = load(tmp_path)
    assert sorted(data.test["image"]) == sorted(forms.NAMES[8:])
    assert len(data.train) == 8


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "validate"])
def test_a_validation_split_is_in_neither_of_the_others(name: str, tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    parts = {"train": range(6), name: range(6, 9), "test": range(9, 12)}
    for split, numbers in parts.items():
        forms.lines(tmp_path / f"{split}.jsonl", forms.flat(*numbers))
    data = load(tmp_path)
    assert data.validation is not None
    tables = (data.train, data.validation, data.test)
    assert [len(table) for table in tables] == [6, 3, 3]
    assert sorted(data.validation["image"]) == sorted(forms.NAMES[6:9])
    told = [(source.file, source.split, source.records) for source in examine(tmp_path).sources]
    assert (f"{name}.jsonl", "validation", 3) in told


def test_further_names_of_splits_are_said(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "cases.jsonl", forms.flat(*range(9), split="rest"))
    forms.lines(tmp_path / "holdout.jsonl", forms.flat(*range(9, 12)))
    splits = {"holdout": "test", "rest": "train"}
    assert [len(load(tmp_path, splits=splits).train), len(load(tmp_path, splits=splits).test)] == [
        9,
        3,
    ]
    with pytest.raises(ConfigError, match=r"dataset\.splits names 'exam'.*train, validation, test"):
        load(tmp_path, splits={"holdout": "exam"})


def test_a_file_that_tells_no_split_beside_one_that_does_is_refused(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "train.jsonl", forms.flat(*range(9)))
    forms.lines(tmp_path / "more.jsonl", forms.flat(*range(9, 12)))
    with pytest.raises(DataError, match=r"more\.jsonl has records that tell no split.*files="):
        load(tmp_path)
    assert len(load(tmp_path, files=["train.jsonl"]).train) == 7
    forms.lines(tmp_path / "train_test.jsonl", forms.flat(*range(9, 12)))
    with pytest.raises(DataError, match=r"train_test\.jsonl tells several splits \(test, train\)"):
        load(tmp_path)


def test_of_a_training_file_alone_a_test_set_is_drawn_and_said(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "train.jsonl", forms.flat())
    assert [len(load(tmp_path).train), len(load(tmp_path).test)] == [10, 2]
    assert any("20% of the pictures are drawn" in note for note in examine(tmp_path).notes)


# -- columns -------------------------------------------------------------------------------------


def test_what_was_taken_for_what_is_told(tmp_path: Path) -> None:
    (source, _) = examine(forms.write("csv", tmp_path)).sources
    assert source.columns == {"image": "image_path", "question": "query", "answer": "response"}


def test_a_fixed_question_serves_a_table_of_captions(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = [{"file_name": name, "text": f"scan {i}"} for i, name in enumerate(forms.NAMES)]
    forms.lines(tmp_path / "metadata.jsonl", rows)
    data = load(tmp_path, question="Describe it.", task="captioning")
    assert {one.question for one in all_examples(data)} == {"Describe it."}
    with pytest.raises(DataError, match=r"no column of a usual name for the question.*file_name"):
        load(tmp_path)


def test_a_class_is_its_name_and_not_its_number(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    label = ClassLabel(names=["a", "b"])
    kinds = Features(
        {
            "image": Value("string"),
            "question": Value("string"),
            "label": label,
        }
    )
    rows = {"image": forms.NAMES, "question": forms.QUESTIONS, "label": [0, 1] * 6}
    Dataset.from_dict(rows, features=kinds).to_parquet(tmp_path / "all.parquet")
    answers = {one.question: one.answer for one in all_examples(load(tmp_path))}
    assert [answers[question] for question in forms.QUESTIONS] == ["a", "b"] * 6


def test_repeated_ids_are_numbered_and_said(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "data.jsonl", forms.flat(id="scan"))
    data = load(tmp_path)
    ids = [*data.train["id"], *data.test["id"]]
    assert sorted(ids) == sorted(["scan", *(f"scan-{i}" for i in range(2, 13))])
    assert "11 repeated ids, numbered" in examine(tmp_path).notes


def test_two_writings_of_a_number_are_one_site(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = [row | {"site": [2, 2.0, "10", 10][i % 4]} for i, row in enumerate(forms.flat())]
    forms.lines(tmp_path / "data.jsonl", rows)
    assert set(load(tmp_path).train["site"]) == {"2", "10"}


# -- answers -------------------------------------------------------------------------------------


def test_answers_of_other_types_become_text_or_are_bad_by_name(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    values = [["no", "left", "left"], {"text": "left"}, True, False, 3, 2.5, None, float("nan")]
    rows = [row | {"answer": value} for row, value in zip(forms.flat(), values, strict=False)]
    text = "\n".join(json.dumps(row) for row in rows)
    (tmp_path / "data.jsonl").write_text(text, encoding="utf-8")
    answers = {one.id[-1]: one.answer for one in all_examples(load(tmp_path, allow_errors=3))}
    assert answers == {"0": "left", "2": "yes", "3": "no", "4": "3", "5": "2.5"}
    problems = [(problem.record[-1], problem.text) for problem in examine(tmp_path).problems]
    assert [name for name, _ in problems] == ["1", "6", "7"]
    assert 'the answer is {"text": "left"}, which is no text' in problems[0][1]
    assert "empty answer" in problems[1][1]


@pytest.mark.parametrize(("rule", "answer"), [("majority", "left"), ("first", "no")])
def test_one_of_several_answers_is_taught_and_all_of_them_count(
    rule: str, answer: str, tmp_path: Path
) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "data.jsonl", forms.flat(answers=["no", "left", "left"], answer=None))
    data = load(tmp_path, answers=rule, columns={"answer": "answers"})
    one = examples(data.train, data.root)[0]
    assert one.answer == answer
    assert {one.answer, *one.others} == {"no", "left"}


def test_vqa_s_ten_answers_are_read(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    ten = [{"answer": "dog" if i else "cat", "answer_id": i} for i in range(10)]
    forms.lines(tmp_path / "data.jsonl", forms.flat(answer=ten, answer_type="other"))
    data = load(tmp_path)
    one = examples(data.train, data.root)[0]
    assert (one.answer, one.closed) == ("dog", False)
    assert sorted(one.others) == ["cat", *["dog"] * 8]  # as often as people gave it


# -- pictures and turns --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"image": ["images/p0.png", None]}, "1 of its 2 pictures are missing"),
        ({"image": ["images/p0.png"] * 65}, "it shows 65 pictures; 64 are the most"),
        ({"image": 7}, "its picture is 7; name a file"),
        ({"image": "/etc/hostname"}, "lies outside"),
        ({"image": {"bytes": None, "path": None}}, "name a file"),
        ({"question": "<image> and <image>: which is older?"}, "marks 2 pictures and shows 1"),
        ({"question": "<image> which?", "image": None}, "marks 1 picture and shows none"),
        (
            {"question": "<image> which?", "image": ["images/p0.png", "images/p1.png"]},
            "marks 1 picture and shows 2",
        ),
        ({"answer": {"text": "left"}}, "is no text"),
    ],
)
def test_a_record_that_cannot_be_one_is_bad_by_name(
    change: dict[str, Any], why: str, tmp_path: Path
) -> None:
    forms.pictures(tmp_path)
    rows = forms.flat()
    rows[3] |= change
    forms.lines(tmp_path / "data.jsonl", rows)
    (problem,) = examine(tmp_path).problems
    assert (problem.record, why in problem.text) == ("data.jsonl-3", True), problem
    assert len(all_examples(load(tmp_path, allow_errors=1))) == 11


def test_an_absolute_path_below_the_folder_is_taken(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = [row | {"image": str(tmp_path / row["image"])} for row in forms.flat()]
    forms.lines(tmp_path / "data.jsonl", rows)
    assert {one.images[0] for one in all_examples(load(tmp_path))} == {
        tmp_path / name for name in forms.NAMES
    }


def test_conversations_of_several_questions_are_said(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "data.jsonl", forms.talks(turns=3))
    report = examine(tmp_path)
    assert report.bad == 12
    text = report.problems[0].text
    assert "has 3 questions" in text
    assert all(f"dataset.turns={way}" in text for way in ("all", "first", "last"))


MORE = ("And the other side?", "nothing")


@pytest.mark.parametrize(
    ("way", "lengths"), [("first", [0] * 12), ("last", [2] * 12), ("all", [0, 1, 2] * 12)]
)
def test_questions_of_a_conversation_see_those_before_them(
    way: str, lengths: list[int], tmp_path: Path
) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "data.jsonl", forms.talks(turns=3))
    data = load(tmp_path, turns=way)
    records = all_examples(data)
    assert sorted(len(one.history) for one in records) == sorted(lengths)
    for one in records:
        i = int(one.images[0].stem[1:])
        talk = [(forms.QUESTIONS[i], forms.ANSWERS[i]), MORE, MORE]
        assert [*one.history, (one.question, one.answer)] == talk[: len(one.history) + 1]
    assert {one.id for one in records} >= ({"p3-turn-1", "p3-turn-3"} if way == "all" else {"p3"})
    assert not set(data.train["image"]) & set(data.test["image"])
    assert any("12 conversations of which" in note for note in examine(tmp_path, turns=way).notes)


def test_conversations_of_one_question_are_as_they_were(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "data.jsonl", forms.talks())
    first, *others = (all_examples(load(tmp_path, turns=way)) for way in ("one", "all", "last"))
    assert others == [first, first]


def test_an_empty_earlier_answer_is_bad_by_name(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = forms.talks(turns=3)
    rows[4]["conversations"][1]["value"] = " "
    forms.lines(tmp_path / "data.jsonl", rows)
    bad = [problem.record for problem in examine(tmp_path, turns="all").problems]
    assert bad == ["p4-turn-1", "p4-turn-2", "p4-turn-3"]


def test_boxes_of_earlier_turns_become_fractions_and_go_to_the_model_s_frame(
    tmp_path: Path,
) -> None:
    forms.pictures(tmp_path)
    talk = [
        {"from": speaker, "value": text}
        for text in ("[6, 4, 12, 8]",)
        for speaker in ("human", "gpt") * 2
    ]
    rows = [{"image": name, "conversations": talk} for name in forms.NAMES]
    forms.lines(tmp_path / "data.jsonl", rows)
    data = load(tmp_path, turns="last", boxes="pixels", task="grounding")
    (one, *_) = examples(data.train, data.root, None, data.box_decimals)
    places = load_task("grounding").BOXES_IN
    for place, text in zip(("question", "answer"), one.history[0], strict=True):
        box = parse_boxes(text)[0].box
        assert box == ((0.25, 0.25, 0.5, 0.5) if place in places else (6, 4, 12, 8))
    shown = to_model_frame(one, padded((24, 16)))
    ((question, answer),) = shown.history
    assert (question, answer) == (shown.question, shown.answer)
    assert shown.answer != one.answer


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ([{"from": "gpt", "value": "left"}], "turns of model"),
        ([{"from": "human", "value": "where?"}], "turns of user; questions and answers"),
        ([{"from": "narrator", "value": "where?"}], "a turn is from 'narrator'"),
        ([], "no list of turns"),
        (None, "no list of turns"),
        (["where?", "left"], "a turn of the conversation is 'where"),
        ([{"from": "human", "value": [{"type": "audio"}]}], "its parts are texts and images"),
    ],
)
def test_what_is_no_conversation_is_bad_by_name(turns: Any, why: str, tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = forms.talks()
    rows[3]["conversations"] = turns
    if turns is None:
        del rows[3]["conversations"]
    forms.lines(tmp_path / "data.jsonl", rows)
    (problem,) = examine(tmp_path).problems
    assert (problem.record, why in problem.text) == ("p3", True), problem


# -- groups --------------------------------------------------------------------------------------


def patients(root: Path) -> Path:
    forms.pictures(root)
    rows = [row | {"patient": f"a{i // 3}"} for i, row in enumerate(forms.flat())]
    forms.lines(root / "data.jsonl", rows)
    return root


def test_a_patient_is_on_one_side_and_the_check_tells_where_not(tmp_path: Path) -> None:
    root = patients(tmp_path)
    data = load(root, group_by="patient", test_fraction=0.25)
    assert not set(data.train["patient"]) & set(data.test["patient"])
    assert (len(data.train), len(data.test)) == (9, 3)
    assert not any("dataset.group_by" in note for note in examine(root, group_by="patient").notes)
    notes = examine(root).notes
    assert any("of 'patient' stand in both" in note for note in notes), notes


def test_a_group_that_is_no_column_or_has_no_value_is_told(tmp_path: Path) -> None:
    root = patients(tmp_path)
    with pytest.raises(ConfigError, match=r"group_by=ward is no column.*patient, site"):
        load(root, group_by="ward")
    rows = [row | {"patient": "" if i == 3 else "b"} for i, row in enumerate(forms.flat())]
    forms.lines(root / "data.jsonl", rows)
    assert [problem.text for problem in examine(root, group_by="patient").problems] == [
        "it has no patient, which keeps it together"
    ]


# -- as hospitals have it ------------------------------------------------------------------------


def table(root: Path, text: str, name: str = "data.csv") -> Path:
    forms.pictures(root)
    (root / name).write_text(text, encoding="utf-8")
    return root


def csv_of(header: str, row: str = "{image},{question},{answer}") -> str:
    values = zip(forms.NAMES, forms.QUESTIONS, forms.ANSWERS, strict=True)
    rows = [row.format(image=m, question=q, answer=a, i=i) for i, (m, q, a) in enumerate(values)]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        csv_of(" Image , Question ,ANSWER"),
        "\n\n" + csv_of("image,question,answer") + ",,\n  \n\x1a",
        "sep=;\n" + csv_of("image;question;answer", "{image};{question};{answer}"),
        csv_of("image\tquestion\tanswer", "{image}\t{question}\t{answer}"),
        csv_of('image;question;answer;"age, years"', "{image};{question};{answer};{i}"),
        csv_of("image,question,answer").replace("images/", "images\\"),
        csv_of("image,question,answer", " {image} ,{question},{answer}"),
        csv_of("image,question,answer", "images/../{image},{question},{answer}"),
    ],
    ids=["case", "blank rows", "sep=", "tabs", "comma in a name", "windows", "blanks", "dots"],
)
def test_what_spreadsheets_leave_is_read(text: str, tmp_path: Path) -> None:
    pairs = [(one.question, one.answer) for one in all_examples(load(table(tmp_path, text)))]
    assert sorted(pairs) == sorted(zip(forms.QUESTIONS, forms.ANSWERS, strict=True))


def test_a_column_that_stands_twice_is_named(tmp_path: Path) -> None:
    root = table(tmp_path, csv_of("image,question,answer,answer", "{image},{question},yes,no"))
    with pytest.raises(DataError, match="two columns called 'answer'"):
        load(root)


def test_two_writings_of_a_patient_are_one(tmp_path: Path) -> None:
    patients = [f"{i // 2}" + ".0" * (i % 2) for i in range(forms.COUNT)]
    header, *rows = csv_of("image,question,answer").splitlines()
    rows = [f"{row},{patient}" for row, patient in zip(rows, patients, strict=True)]
    root = table(tmp_path, "\n".join([f"{header},PatientID", *rows]))
    assert set(load(root).train["PatientID"]) <= {str(i) for i in range(6)}
    assert any("'PatientID' stand in both" in note for note in examine(root).notes)
    data = load(root, group_by="PatientID")
    assert not set(data.train["PatientID"]) & set(data.test["PatientID"])


@pytest.mark.parametrize(("train", "test"), [("TrainSet", "TestSet"), ("traindata", "testdata")])
def test_names_that_run_together_tell_splits_too(train: str, test: str, tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / f"{train}.jsonl", forms.flat(*range(8)))
    forms.lines(tmp_path / f"{test}.jsonl", forms.flat(*range(8, 12)))
    assert sorted(load(tmp_path).test["image"]) == sorted(forms.NAMES[8:])


@pytest.mark.parametrize("name", ["test.xlsx", "test.csv.gz"])
def test_a_table_that_cannot_be_read_is_not_passed_over(name: str, tmp_path: Path) -> None:
    root = table(tmp_path, csv_of("image,question,answer"), "train.csv")
    (root / name).write_bytes(b"PK")
    with pytest.raises(DataError, match=rf"{name} is no table that can be read.*dataset\.files"):
        load(root)
    assert len(all_examples(load(root, files=["./train.csv"]))) == 12
    with pytest.raises(DataError, match=rf"{name} is no table that can be read"):
        load(root, files=[name])
    with pytest.raises(DataError, match=r"dataset\.files names lost\.csv"):
        load(root, files=["train.csv", "lost.csv"])


def archive(path: Path, place: str, *, splits: bool) -> None:
    with tarfile.open(path, "w") as tar:
        for i in range(forms.COUNT):
            row = {"question": forms.QUESTIONS[i], "answer": forms.ANSWERS[i]}
            if splits and i:
                row["split"] = "Test" if i > 7 else "train"
            folder = place.format("test" if i > 7 else "train")
            for ending, data in (("png", forms.png(i)), ("json", json.dumps(row).encode())):
                info = tarfile.TarInfo(f"{folder}{i:02d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_an_archive_s_folders_and_later_columns_tell_splits(tmp_path: Path) -> None:
    archive(tmp_path / "shard.tar", "./{}/", splits=False)
    assert [len(load(tmp_path).train), len(load(tmp_path).test)] == [8, 4]
    archive(tmp_path / "shard.tar", "", splits=True)
    with pytest.raises(DataError, match="records that tell no split"):
        load(tmp_path)


def test_a_missing_first_picture_does_not_decide_for_the_others(tmp_path: Path) -> None:
    forms.write("hub parquet", tmp_path)
    path = tmp_path / "data" / "all.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[0]["image"] = None
    pq.write_table(pa.Table.from_pylist(rows), path)
    report = examine(tmp_path)
    assert (report.problems, report.notes[0]) == ([], "1 rows show no picture")
    assert sum(len(one.images) for one in all_examples(load(tmp_path))) == 11


def test_dates_decimals_and_single_precision_keep_their_text(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = [row | {"day": date(2020, 1, 2), "dose": Decimal("1.5")} for row in forms.flat()]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["answer"] = pa.array([0.1] * forms.COUNT, pa.float32())
    pq.write_table(pa.table(columns), tmp_path / "all.parquet")
    data = load(tmp_path)
    assert {one.answer for one in all_examples(data)} == {"0.1"}
    assert (set(data.train["day"]), set(data.train["dose"])) == ({"2020-01-02"}, {"1.5"})


def test_numbers_as_splits_and_boxes_as_lists(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    box = [0.1, 0.2, 0.3, 0.4]
    rows = [row | {"split": int(i > 7), "answer": box} for i, row in enumerate(forms.flat())]
    forms.lines(tmp_path / "data.jsonl", rows)
    data = load(tmp_path, splits={"0": "train", "1": "test"}, task="detection")
    assert [len(data.train), len(data.test)] == [8, 4]
    assert {one.answer for one in all_examples(data)} == {"[0.1, 0.2, 0.3, 0.4]"}


def test_pictures_of_the_validation_set_are_not_trained_on(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    for name, numbers in (("train", range(7)), ("val", range(6, 10)), ("test", range(9, 12))):
        forms.lines(tmp_path / f"{name}.jsonl", forms.flat(*numbers))
    problems = [(problem.file, problem.text) for problem in examine(tmp_path).problems]
    assert [file for file, _ in problems] == ["train.jsonl", "val.jsonl"]
    assert "is in the validation set too" in problems[0][1]


def test_a_table_in_two_forms_is_told(tmp_path: Path) -> None:
    forms.write("lines", tmp_path)
    forms.write("json list", tmp_path)
    assert any("12 records are the same as one before" in note for note in examine(tmp_path).notes)


@pytest.mark.parametrize(("name", "gap"), [("data.csv", ","), ("data.tsv", "\t")])
def test_words_for_no_value_are_no_answers_in_tables_of_text(
    name: str, gap: str, tmp_path: Path
) -> None:
    text = csv_of(
        gap.join(("image", "question", "answer")), gap.join(("{image}", "{question}", "{answer}"))
    )
    for word, answer in zip(("NaN", "N/A", " null "), ("left", "right", "left"), strict=True):
        text = text.replace(f"{gap}{answer}\n", f"{gap}{word}\n", 1)
    report = examine(table(tmp_path, text, name))
    assert [problem.record[-1] for problem in report.problems] == ["0", "1", "2"]
    assert all("empty answer" in problem.text for problem in report.problems)
    assert any("3 answers are a word for none" in note for note in report.notes)


def test_words_that_are_answers_and_texts_of_json_stay(tmp_path: Path) -> None:
    root = table(tmp_path, csv_of("image,question,answer", "{image},{question},None"))
    assert {one.answer for one in all_examples(load(root))} == {"None"}
    (root / "data.csv").unlink()
    forms.lines(root / "data.jsonl", forms.flat(answer="null"))
    assert {one.answer for one in all_examples(load(root))} == {"null"}


def test_an_empty_column_of_conversations_gives_way_to_questions(tmp_path: Path) -> None:
    text = csv_of("conversations,image,question,answer", ",{image},{question},{answer}")
    report = examine(table(tmp_path, text))
    assert report.sources[0].columns["question"] == "question"
    pairs = [(one.question, one.answer) for one in all_examples(load(tmp_path))]
    assert sorted(pairs) == sorted(zip(forms.QUESTIONS, forms.ANSWERS, strict=True))


def test_filled_conversations_are_taken_and_a_label_beside_them_is_a_field(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    rows = [row | {"question": "", "label": "x"} for row in forms.talks()]
    forms.lines(tmp_path / "data.jsonl", rows)
    data = load(tmp_path)
    assert set(data.train["label"]) == {"x"}
    assert {one.answer for one in all_examples(data)} == {"left", "right"}


def test_files_of_an_archive_in_any_order_are_one_record(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for ending in ("json", "png"):  # all texts, then all pictures
            for i in range(forms.COUNT):
                row = {"question": forms.QUESTIONS[i], "answer": forms.ANSWERS[i]}
                data = forms.png(i) if ending == "png" else json.dumps(row).encode()
                info = tarfile.TarInfo(f"{i:02d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    pairs = [(one.question, one.answer) for one in all_examples(load(tmp_path))]
    assert sorted(pairs) == sorted(zip(forms.QUESTIONS, forms.ANSWERS, strict=True))


# -- files that cannot be read -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("data.csv", b"image,question,answer\na.png,where?\n", "Row 1 of .* has not 3 values"),
        ("data.csv", b"image,question,answer\na.png,where?,x,y\n", "Row 1 of .* has not 3"),
        ("data.csv", b'image,question,answer\n"a.png,where?,x\n', "no CSV"),
        (
            "data.csv",
            b'\nimage,question,answer\na.png,where?,x\n"b.png,where?,x\nc.png,where?,x\n',
            "begins in line 4 of .*data.csv is no CSV .*in line 5.*quotes",
        ),
        (
            "data.csv",
            b'image,question,answer\na.png,"where?,x\nb.png,where?",x\nc.png,"why"?,x\n',
            "begins in line 4 of .*data.csv is no CSV",
        ),
        (
            "data.csv",
            b'sep=,\nimage,question,answer\n"a.png,where?,x\nb.png",where?\n',
            "Row 1 of .*csv, which begins in line 3 and goes on to line 4, perhaps for a stray",
        ),
        ("data.csv", b"image,question,answer\n", "holds no row"),
        ("data.csv", b"", "is empty"),
        ("data.jsonl", b"", "is empty"),
        ("data.json", b"[1]", "Record 1 of .* is 1"),
        ("data.json", b"[{}", "is no JSON"),
        ("data.json", b"[" * 100_000, "nested too deep"),
        ("data.jsonl", b'{"a":' * 100_000, "nested too deep"),
        ("data.tar", b"not a tar", "cannot be read as tar"),
        ("data.tsv", "image\tquestion\n".encode("latin-1") + b"\xe9\t\n", "no UTF-8 text"),
        ("data.parquet", b"PAR1PAR1", "cannot be read as parquet"),
    ],
)
def test_a_damaged_file_is_named(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=why) as caught:
        load(tmp_path)
    assert name in str(caught.value)


def test_pictures_inside_and_beside_are_not_mixed(tmp_path: Path) -> None:
    forms.write("hub parquet", tmp_path)
    rows = [{"image": "x.png", "question": "where?", "answer": "left"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "more.parquet")
    (problem,) = examine(tmp_path).problems
    assert "others' are files, or the other way round" in problem.text


# -- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["lines", *forms.INSIDE])
def test_tables_that_were_read_once_are_not_opened_again(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = forms.write(form, tmp_path)
    first = [(one.id, one.images, one.question) for one in all_examples(load(root))]

    def opened_again(path: Path) -> None:
        raise AssertionError(f"{path} is read again")

    for module in ("sets.folder", "tables.rows"):
        monkeypatch.setattr(f"fedvlm_flwr.data.{module}.read_table", opened_again)
    assert [(one.id, one.images, one.question) for one in all_examples(load(root))] == first


def test_a_user_s_column_may_have_any_name(tmp_path: Path) -> None:
    forms.pictures(tmp_path)
    forms.lines(tmp_path / "data.jsonl", forms.flat(kept_together="x", references="y"))
    assert [len(load(tmp_path).train), len(load(tmp_path).test)] == [10, 2]
