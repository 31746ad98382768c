"""Answers of merged models by the code of their own cards, in transformers alone: run as a program.

Reads jobs as JSON from standard input and prints each job's answers as one JSON line. Nothing of
this project is imported.
"""

import json
import re
import sys
from pathlib import Path

import torch


def answers(job: dict) -> list[str]:
    text = Path(job["folder"], "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert code.count('folder = "."') == 1 and code.count("\nprint(") == 1
    code = code.replace('folder = "."', f"folder = {job['folder']!r}").partition("\nprint(")[0]
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    return [names["answer"](r["image"], r["question"], job["limit"]) for r in job["rows"]]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in json.load(sys.stdin):
        print(json.dumps(answers(each)))
    assert not [name for name in sys.modules if name.startswith(("fedvlm", "strategies"))]
