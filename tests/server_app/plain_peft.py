"""Answers of a base with an adapter, by transformers and peft alone: run as a program.

Reads jobs as JSON from standard input and prints each job's answers as one JSON line. Nothing of
this project is imported: what a run leaves behind must be of use without it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PhiForCausalLM,
)

Job = dict[str, Any]


def cast(module: Any, args: Any, kwargs: Any) -> Any:
    """Call a module with its own precision."""
    dtype = next(module.parameters()).dtype

    def to(value: Any) -> Any:
        return value.to(dtype) if torch.is_tensor(value) and value.is_floating_point() else value

    return tuple(map(to, args)), {key: to(value) for key, value in kwargs.items()}


def tuned(base: Any, job: Job) -> Any:
    """The base with the adapter, or with the connector where nothing else was trained."""
    facts = json.loads(Path(job["adapter"], "reload.json").read_text())
    for path in facts["float32"]:
        base.get_submodule(path).float()
    for path in facts["cast"]:
        base.get_submodule(path).register_forward_pre_hook(cast, with_kwargs=True)
    if job["lora"]:
        return PeftModel.from_pretrained(base, job["adapter"]).eval()
    weights = load_file(f"{job['adapter']}/connector.safetensors")
    base.model.multi_modal_projector.load_state_dict(weights)
    return base.eval()


def llava(job: Job) -> list[str]:
    """LLaVA: the image token once for each patch."""
    model = tuned(LlavaForConditionalGeneration.from_pretrained(job["base"]), job)
    tokenizer = AutoTokenizer.from_pretrained(job["base"])
    pictures = AutoImageProcessor.from_pretrained(job["base"], backend="pil")
    answers = []
    for row in job["rows"]:
        text = job["template"].replace("{question}", row["question"])
        ids = tokenizer(text.replace("<image>", "<image>" * job["tokens"]), return_tensors="pt")
        pixels = pictures(Image.open(row["image"]).convert("RGB"), return_tensors="pt")
        made = model.generate(**ids, **pixels, max_new_tokens=job["limit"], do_sample=False)
        end = ids["input_ids"].shape[1]
        answers.append(tokenizer.decode(made[0, end:], skip_special_tokens=True).strip())
    return answers


def showo(job: Job) -> list[str]:
    """Show-o: Phi, with a mask under which everything sees the picture before the text."""
    model = tuned(PhiForCausalLM.from_pretrained(job["base"]), job)
    tokenizer = AutoTokenizer.from_pretrained(job["base"])
    answers = []
    for row in job["rows"]:
        text = job["template"].replace("{question}", row["question"])
        ids = [*row["picture"], *tokenizer(text)["input_ids"]]
        start = len(ids)
        for _ in range(job["limit"]):
            seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
            seen[:, : len(row["picture"])] = True
            logits = model(torch.tensor([ids]), attention_mask=seen[None, None]).logits
            token = int(logits[0, -1].argmax())
            if token == tokenizer.eos_token_id:
                break
            ids.append(token)
        answers.append(tokenizer.decode(ids[start:], skip_special_tokens=True).strip())
    return answers


def hf_vlm(job: Job) -> list[str]:
    """Any other, here of the family llava: by its own processor and chat template."""
    base = LlavaForConditionalGeneration.from_pretrained(job["base"], dtype=job["dtype"])
    model = tuned(base, job)
    processor = LlavaProcessor.from_pretrained(job["base"], backend="pil")
    answers = []
    for row in job["rows"]:
        content = [{"type": "image"}, {"type": "text", "text": row["question"]}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True
        )
        picture = Image.open(row["image"]).convert("RGB")
        inputs = processor(text=text, images=picture, return_tensors="pt")
        made = model.generate(**inputs, max_new_tokens=job["limit"], do_sample=False)
        end = inputs["input_ids"].shape[1]
        answers.append(processor.decode(made[0, end:], skip_special_tokens=True).strip())
    return answers


if __name__ == "__main__":
    torch.set_num_threads(1)
    kinds = {"llava": llava, "showo": showo, "hf_vlm": hf_vlm}
    with torch.inference_mode():
        for given in json.load(sys.stdin):
            print(json.dumps(kinds[given["kind"]](given)))
    assert not [name for name in sys.modules if name.startswith(("fedvlm", "strategies"))]
