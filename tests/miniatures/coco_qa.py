"""COCO-QA with a dozen questions; its pictures go to the folder `coco` beside its own."""

from pathlib import Path

from tests.miniatures.coco import draw

# Split, question, answer, picture, type.
QUESTIONS = (
    ("train", "what is the cat looking at in the mirror", "dog", 458752, 0),
    ("train", "how many elephants walk through the river", "two", 458755, 1),
    ("train", "what is the color of the bus ?", "red", 318461, 2),
    ("train", "where does the man 's dog sleep", "café", 318464, 3),
    ("train", "what is sitting on top of boxes", "cat", 318464, 0),
    ("train", "how many people sit at a table", "four", 131089, 1),
    ("train", "what is the color of the vase / pot", "blue", 131093, 2),
    ("train", 'where is the "tiny" horse', "field", 131097, 3),
    ("test", "what is on the plate", "pizza", 393227, 0),
    ("test", "how many giraffes stand by a tree", "three", 393241, 1),
    ("test", "what is the color of the train", "yellow", 393243, 2),
    ("test", "where is the woman reading", "kitchen", 393251, 3),
)


def build(folder: Path) -> None:
    for split, pictures in (("train", "train2014"), ("test", "val2014")):
        rows = [row for row in QUESTIONS if row[0] == split]
        (folder / split).mkdir(parents=True, exist_ok=True)
        for place, name in enumerate(("questions", "answers", "img_ids", "types"), start=1):
            text = "".join(f"{row[place]}\n" for row in rows)
            (folder / split / f"{name}.txt").write_text(text, encoding="utf-8")
        for _, _, _, number, _ in rows:
            file = f"COCO_{pictures}_{number:012d}.jpg"
            draw(folder.parent / "coco" / pictures / file, number, (64, 40 + number % 7))
