"""The model card of an exported model: what it is, what it was trained on, what it scores.

Nothing of it tells of records, paths or hosts of clients: choices by their names, sums and means.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from fedvlm_flwr.config import Config
from fedvlm_flwr.report.headlines import headline
from fedvlm_flwr.report.live import size
from fedvlm_flwr.report.table import server_values
from fedvlm_flwr.settings import facts_of
from fedvlm_flwr.takehome.finished import FinishedRun
from fedvlm_flwr.takehome.licences import UNKNOWN, licences, public_name, sources_of
from fedvlm_flwr.tasks import load_task

USE = '''```python
from transformers import AutoModelForImageTextToText, AutoProcessor

folder = "."  # this one
processor = AutoProcessor.from_pretrained(folder, backend="pil")
model = AutoModelForImageTextToText.from_pretrained(folder).eval()


def answer(image, question, limit):
    """The greedy answer of at most `limit` tokens to a question about a picture's file."""
    content = [{{"type": "image", "path": image}}, {{"type": "text", "text": question}}]
    inputs = processor.apply_chat_template(
        [{{"role": "user", "content": content}}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    inputs = inputs.to(model.device, model.dtype)
    made = model.generate(**inputs, max_new_tokens=limit)[0, inputs["input_ids"].shape[1] :]
    return processor.decode(made, skip_special_tokens=True).strip()


print(answer("photo.png", "what is in the picture?", {most}))
```

Pictures are resized by Pillow (`backend="pil"`), as in training; torchvision makes other pixels.'''
PLAIN = """\
Merged, in transformers' own format; this model's family has no chat template: ask it as its base is
asked, for example with `processor(images=picture, text="<image>question")`."""
ADAPTER = """\
A PEFT adapter with what was trained beside it; `reload.json` says for which base, in which
precision, and how to ask. It is loaded into that base with `PeftModel.from_pretrained`."""
PARTIAL = """\
Fully trained parts by their own names (`<part>.safetensors`), for `load_state_dict` of that part of
the base; `reload.json` says for which base, in which precision, and how to ask."""
BOXES = """
Boxes are told in fractions of what the model sees, which may be the picture padded to a square or
cut: `fedvlm predict` turns them into fractions of the picture."""


def card(run: FinishedRun, form: str, client: int | None = None) -> str:
    """The text of README.md.

    Args:
        form: `merged`, `plain` (merged, without a chat template), `adapter` or `partial`.
        client: whose own model it is; None: everybody's.
    """
    config = run.config
    use = {"merged": USE.format(most=run.max_new_tokens or 16), "plain": PLAIN}
    use |= {"adapter": ADAPTER, "partial": PARTIAL}
    boxes = [BOXES] if any(load_task(task).BOXES_IN for task in run.tasks) else []
    whose = f", the own model of client {client}" if client is not None else ""
    return "\n".join(
        [
            _head(config, form),
            f"# {config.model.name}, {config.algorithm.name} on {config.dataset.name}{whose}",
            "",
            "A vision-language model that was fine-tuned by federated learning with fedvlm_flwr.",
            "",
            "## Use",
            "",
            use[form],
            *boxes,
            "",
            "## Training",
            "",
            *(f"- {name}: {text}" for name, text in _training(run).items()),
            "",
            "## Scores",
            "",
            *_scores(run),
            "",
            "## Cost",
            "",
            *(f"- {name}: {text}" for name, text in _cost(run).items()),
            "",
            "## Licence of the base",
            "",
            *(f"- {name}: {text}" for name, text in licences(config.model).items()),
            "",
            "The licences of base and data hold for this model too; check them before use.",
            "",
        ]
    )


def _head(config: Config, form: str) -> str:
    """The facts that a hub reads, as YAML."""
    hub = [
        name for name in sources_of(config.model).values() if public_name(name) == name != UNKNOWN
    ]
    names = set(licences(config.model).values())
    facts: dict[str, Any] = {
        "library_name": "transformers" if form in ("merged", "plain") else "peft",
        "pipeline_tag": "image-text-to-text",
        "tags": ["federated-learning", "fedvlm-flwr"],
    }
    if hub:
        facts["base_model"] = hub
    if len(names) == 1 and UNKNOWN not in names:
        facts["license"] = names.pop().lower()
    return f"---\n{yaml.safe_dump(facts, sort_keys=False)}---\n"


def _training(run: FinishedRun) -> dict[str, str]:
    config = run.config
    clients = str(config.num_clients) if config.num_clients is not None else "any that took part"
    every = config.cohort_size in (None, config.num_clients)
    a_round = "" if every else f", {config.cohort_size} in a round"
    lora, train = config.tuning.lora, config.train
    adapters = "lora" in config.tuning.modes.get("llm", ())
    return {
        "data": f"{config.dataset.name} ({', '.join(run.tasks)})",
        "partition": f"{config.partition.name}{_keys(config.partition.params)}"
        if not config.engine.real_sites
        else "each real site's own records",
        "clients": f"{clients}{a_round}",
        "algorithm": f"{config.algorithm.name}{_keys(config.algorithm.params)}",
        "rounds": str(config.all_rounds),
        "fine-tuning": f"{config.tuning.name}"
        + (f" (LoRA of rank {lora.r}, alpha {lora.alpha:g})" if adapters else ""),
        "local training": f"{train.optimizer}, learning rate {train.lr:g}, batches of "
        f"{train.batch_size}",
        "base": f"{config.model.name}, {config.model.params.dtype}",
        "seed": str(config.seed),
    }


def _keys(params: Any) -> str:
    """A choice's plain numbers and words, those of paths left aside."""
    values = {
        name: value
        for name, value in vars(params).items()
        if isinstance(value, bool | int | float | str)
        and not facts_of(type(params).__dataclass_fields__[name]).path
    }
    return f" ({', '.join(f'{k}={v}' for k, v in values.items())})" if values else ""


def _scores(run: FinishedRun) -> Iterator[str]:
    values = server_values(run.folder)
    settings = run.folder.settings()
    last = run.config.all_rounds
    split = run.config.eval.split
    yield f"On the {split} records after the last round; 95 % bootstrap intervals over examples."
    yield "Majority is what the most frequent training answer would score."
    yield ""
    yield "| task | metric | score | 95 % interval | majority |"
    yield "|---|---|---:|---|---:|"
    for task in run.tasks:
        metric = headline(task, settings)
        names = (metric, f"{metric}_low", f"{metric}_high", f"control_majority_{metric}")
        score, low, high, majority = (values.get((last, task, name)) for name in names)
        interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
        yield f"| {task} | {metric} | {_number(score)} | {interval} | {_number(majority)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cost(run: FinishedRun) -> dict[str, str]:
    cost = run.folder.cost()
    seconds: Mapping[str, float] = cost["seconds"]
    sent: Mapping[str, float] = cost["bytes"]
    result = {
        "seconds from start to end": f"{seconds['wall']:.0f}",
        "seconds of the clients' training, added up": f"{seconds['local_training']:.0f}",
        "sent to clients": size(sent["down"]),
        "sent by clients": size(sent["up"]),
    }
    if peak := cost["processes"].get("client", {}).get("peak_memory_bytes"):
        result["memory of the largest client process"] = size(peak)
    return result
