"""One small dataset in the forms that people's tools write: twelve scans, each with a question."""

import base64
import csv
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COUNT = 12
QUESTIONS = [f"Which side is marked in scan {i}?" for i in range(COUNT)]
ANSWERS = [("left", "right")[i % 2] for i in range(COUNT)]
SITES = [("north", "south")[i % 2] for i in range(COUNT)]
NAMES = [f"images/p{i}.png" for i in range(COUNT)]


def png(i: int) -> bytes:
    """A picture that no other number has."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (20 * i, 60, 60)).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(root: Path) -> None:
    """Write the pictures as files."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(NAMES):
        (root / name).write_bytes(png(i))


def flat(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    """The rows as one object each, all of them or those of some numbers."""
    return [
        {"image": NAMES[i], "question": QUESTIONS[i], "answer": ANSWERS[i], "site": SITES[i]} | more
        for i in numbers or range(COUNT)
    ]


def talks(mark: str = "<image>\n{}", turns: int = 1, **roles: str) -> list[dict[str, Any]]:
    """The rows as conversations."""
    names = {"user": "human", "model": "gpt", "key": "from", "value": "value", **roles}
    result = []
    for image, question, answer in zip(NAMES, QUESTIONS, ANSWERS, strict=True):
        texts = [mark.format(question), answer] + ["And the other side?", "nothing"] * (turns - 1)
        speakers = [names["user"], names["model"]] * turns
        conversation = [
            {names["key"]: speaker, names["value"]: text}
            for speaker, text in zip(speakers, texts, strict=True)
        ]
        result.append({"id": Path(image).stem, "image": image, "conversations": conversation})
    return result


def lines(path: Path, rows: Sequence[Any], encoding: str = "utf-8", end: str = "\n") -> None:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = end.join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_bytes(f"{text}{end}".encode(encoding))


def delimited(path: Path, rows: Sequence[Sequence[Any]], delimiter: str) -> None:
    """Write CSV or TSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def json_list(root: Path) -> None:
    """A JSON list of objects."""
    (root / "data.json").write_text(json.dumps(flat()), encoding="utf-8")


def csv_table(root: Path) -> None:
    """CSV with other usual names of columns."""
    rows = zip(NAMES, QUESTIONS, ANSWERS, SITES, strict=True)
    delimited(root / "data.csv", [("image_path", "query", "response", "site"), *rows], ",")


def csv_semicolons(root: Path) -> None:
    """CSV as spreadsheets write it where a comma parts decimals."""
    rows = zip(NAMES, QUESTIONS, ANSWERS, strict=True)
    delimited(root / "data.csv", [("image", "question", "answer"), *rows], ";")


def vlmevalkit(root: Path) -> None:
    """VLMEvalKit's TSV with pictures as base64."""
    rows = [(i, base64.b64encode(png(i)).decode(), QUESTIONS[i], ANSWERS[i]) for i in range(COUNT)]
    delimited(root / "data.tsv", [("index", "image", "question", "answer"), *rows], "\t")


def hub_parquet(root: Path) -> None:
    """The hub's parquet with pictures inside."""
    rows = [
        {"image": {"bytes": png(i), "path": f"p{i}.png"}, "question": q, "answer": a}
        for i, (q, a) in enumerate(zip(QUESTIONS, ANSWERS, strict=True))
    ]
    (root / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), root / "data" / "all.parquet")


def image_folder(root: Path) -> None:
    """The hub's imagefolder: the names are relative to the metadata's folder."""
    pictures(root / "scans")
    rows = zip(NAMES, QUESTIONS, ANSWERS, strict=True)
    header = ("file_name", "question", "answer")
    delimited(root / "scans" / "metadata.csv", [header, *rows], ",")


def webdataset(root: Path) -> None:
    """A tar of pictures and JSON."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "shard-000000.tar", "w") as tar:
        for i in range(COUNT):
            text = json.dumps({"question": QUESTIONS[i], "answer": ANSWERS[i]}).encode()
            for ending, data in (("png", png(i)), ("json", text)):
                info = tarfile.TarInfo(f"{i:06d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def openai_messages(root: Path) -> None:
    """OpenAI's messages, with a system turn and a list of one picture."""
    rows = [
        {
            "messages": [
                {"role": "system", "content": "You read scans."},
                {"role": "user", "content": f"<image>{question}"},
                {"role": "assistant", "content": answer},
            ],
            "images": [image],
        }
        for image, question, answer in zip(NAMES, QUESTIONS, ANSWERS, strict=True)
    ]
    lines(root / "data.jsonl", rows)


def content_parts(root: Path) -> None:
    """Messages whose content is a list of parts, the picture among them."""
    rows = [
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": image}},
                        {"type": "text", "text": question},
                    ],
                },
                {"role": "assistant", "content": [{"type": "text", "text": answer}]},
            ]
        }
        for image, question, answer in zip(NAMES, QUESTIONS, ANSWERS, strict=True)
    ]
    lines(root / "data.jsonl", rows)


def macos(root: Path) -> None:
    """A table beside what a Mac leaves in folders."""
    lines(root / "data.jsonl", flat())
    (root / "._data.jsonl").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    (root / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")


FORMS: dict[str, Callable[[Path], None]] = {
    "lines": lambda root: lines(root / "data.jsonl", flat()),
    "lines under .json": lambda root: lines(root / "data.json", flat()),
    "windows line ends": lambda root: lines(root / "data.jsonl", flat(), end="\r\n"),
    "utf-8 with a mark": lambda root: lines(root / "data.jsonl", flat(), "utf-8-sig"),
    "utf-16": lambda root: lines(root / "data.jsonl", flat(), "utf-16"),
    "upper case ending": lambda root: lines(root / "DATA.JSONL", flat()),
    "json list": json_list,
    "csv": csv_table,
    "csv with semicolons": csv_semicolons,
    "vlmevalkit": vlmevalkit,
    "hub parquet": hub_parquet,
    "imagefolder": image_folder,
    "webdataset": webdataset,
    "llava": lambda root: lines(root / "data.jsonl", talks()),
    "mark last": lambda root: lines(root / "data.jsonl", talks("{}\n<image>")),
    "mark without a break": lambda root: lines(root / "data.jsonl", talks("<image>{}")),
    "no mark": lambda root: lines(root / "data.jsonl", talks("{}")),
    "user and assistant": lambda root: lines(
        root / "data.jsonl", talks(user="user", model="assistant")
    ),
    "openai messages": openai_messages,
    "content parts": content_parts,
    "macos": macos,
}
INSIDE = ("vlmevalkit", "hub parquet", "webdataset")


def write(name: str, root: Path) -> Path:
    """Write the dataset in a form."""
    root.mkdir(parents=True, exist_ok=True)
    if name not in (*INSIDE, "imagefolder"):
        pictures(root)
    FORMS[name](root)
    return root
