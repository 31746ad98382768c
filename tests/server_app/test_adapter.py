"""What a run leaves behind gives the same answers in plain transformers and peft."""

import json
import re
import shlex
import textwrap
from pathlib import Path

import pytest
import torch

from fedvlm_flwr.config import compose
from fedvlm_flwr.models import prepared_model
from fedvlm_flwr.models.showo.model import Showo
from fedvlm_flwr.process import this_process
from fedvlm_flwr.run_folder import PREDICTIONS
from tests.conftest import ROOT, SMALL, global_test_set
from tests.fresh_process import answers_of

DOCS = ROOT / "docs" / "models.md"
PROGRAM = Path(__file__).with_name("plain_peft.py")
# Enough steps on one client for answers that depend on what is asked.
SHORT = (
    "num_rounds=1",
    "num_clients=1",
    "train.local_steps=60",
    "dataset.test_pictures=2",
    "eval.shuffled=false",
    "eval.every=9",
)
ROWS = 4  # of each task


def job(start, kind: str, overrides: list[str], tuning: str, **more: object) -> dict:
    """A run, and all that another program must be told to ask its model the same."""
    chosen = [*SMALL, *overrides, *SHORT, f"tuning={tuning}"]
    folder = start(*overrides, *SHORT, f"tuning={tuning}")
    config = compose({"overrides": shlex.join(chosen)})
    choice = config.model
    base = prepared_model(choice)
    dtype = choice.params.dtype
    told = {line["id"]: line["prediction"] for line in folder.lines(PREDICTIONS)}
    by_task = global_test_set(config)
    examples = [example for found in by_task.values() for example in found[:ROWS]]
    rows = [{"question": e.question, "image": str(e.images[0])} for e in examples]
    if kind == "showo":
        model = this_process().model(config, torch.device("cpu")).vlm
        assert isinstance(model, Showo)
        for row, features in zip(
            rows, model.features([e.images[0] for e in examples]), strict=True
        ):
            row["picture"] = model.image_prefix(features["ids"])
    return {
        "kind": kind,
        "base": str(base or choice.params.checkpoint),
        "dtype": dtype,
        "adapter": str(folder.path / "adapter"),
        "lora": tuning in ("f_l", "f_cl"),
        "template": getattr(choice.params, "template", None),
        "limit": config.eval.max_new_tokens,
        "rows": rows,
        "expected": [told[example.id] for example in examples],
        **more,
    }


@pytest.fixture(scope="module")
def jobs(start, hf_checkpoint) -> list[dict]:
    any_other = ["model=hf_vlm", f"model.checkpoint={hf_checkpoint('llava')}"]
    return [
        job(start, "llava", [], "f_cl", tokens=16),
        job(start, "llava", [], "f_c", tokens=16),
        job(start, "showo", ["model=tiny_showo"], "f_l"),
        job(start, "hf_vlm", [*any_other, "model.dtype=bfloat16"], "f_cl"),
    ]


@pytest.fixture(scope="module")
def llavas(start, jobs, clip, llama) -> list[dict]:
    """Runs that the example in docs/models.md is for."""
    assembled = ["model=llava_clip_llama32_3b", f"model.vision={clip}", f"model.llm={llama}"]
    changed = ["model.image_token=null", "model.template='<image> {question} ASSISTANT:'"]
    return [jobs[0], job(start, "llava", [*assembled, *changed], "f_cl")]


def test_a_fresh_process_without_this_project_gives_the_same_answers(jobs):
    for answers, given in zip(answers_of(PROGRAM, jobs), jobs, strict=True):
        assert answers == given["expected"], given["kind"]
        assert len(set(given["expected"])) > 1, "answers that never differ show nothing"


def test_the_example_of_the_docs_gives_the_runs_answers(llavas, tmp_path):
    """Also on a bfloat16 base whose token for a picture had no row in the embedding table."""
    assert [given["dtype"] for given in llavas] == ["float32", "bfloat16"]
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    assert example.count('"<run folder>/adapter"') == 1
    program = tmp_path / "example.py"
    program.write_text(
        "import json, sys\n\ndef ask(folder, rows, most):\n"
        + textwrap.indent(example.replace('"<run folder>/adapter"', "folder"), "    ")
        + "    return [answer(Image.open(r['image']), r['question'], most) for r in rows]\n\n"
        "for job in json.load(sys.stdin):\n"
        "    print(json.dumps(ask(job['adapter'], job['rows'], job['limit'])))\n"
    )
    for answers, given in zip(answers_of(program, llavas), llavas, strict=True):
        assert answers == given["expected"], given["template"]
        assert len(set(given["expected"])) > 1, "answers that never differ show nothing"


def test_the_adapter_says_which_base_it_is_for(jobs):
    for given in (given for given in jobs if given["lora"]):
        config = json.loads((Path(given["adapter"]) / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == given["base"]
