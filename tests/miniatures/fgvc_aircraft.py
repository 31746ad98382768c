"""FGVC-Aircraft with a dozen pictures of five manufacturers."""

from pathlib import Path

from tests.miniatures.coco import draw

# Split, picture, manufacturer, family, variant.
AIRCRAFT = (
    ("train", "0034309", "Boeing", "Boeing 707", "707-320"),
    ("train", "1025794", "Boeing", "Boeing 737", "737-200"),
    ("train", "0056978", "McDonnell Douglas", "F/A-18", "F/A-18"),
    ("train", "0698580", "de Havilland", "DHC-6", "DHC-6"),
    ("val", "0450014", "Airbus", "A300", "A300B4"),
    ("val", "1042824", "ATR", "ATR-42", "ATR-42"),
    ("val", "0894380", "McDonnell Douglas", "MD-80", "MD-87"),
    ("val", "1427680", "de Havilland", "Dash 8", "DHC-8-100"),
    ("test", "0817494", "Boeing", "Boeing 747", "747-100"),
    ("test", "0716386", "McDonnell Douglas", "F/A-18", "F/A-18"),
    ("test", "0951982", "de Havilland", "DH-82", "DH-82"),
    ("test", "0731614", "Airbus", "A320", "A320"),
)


def build(folder: Path) -> None:
    data = folder / "data"
    for i, (_, number, *_) in enumerate(AIRCRAFT):
        draw(data / "images" / f"{number}.jpg", i + 1, (60 + i, 50), (10, 5, 30, 20))
    splits = {split: (split,) for split in ("train", "val", "test")} | {
        "trainval": ("train", "val")
    }
    for name, parts in splits.items():
        rows = [row for row in AIRCRAFT if row[0] in parts]
        for place, level in enumerate(("manufacturer", "family", "variant"), start=2):
            lines = [f"{row[1]} {row[place]}" for row in rows]
            (data / f"images_{level}_{name}.txt").write_text("\n".join(lines) + "\n")
