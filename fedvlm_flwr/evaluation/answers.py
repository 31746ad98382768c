"""What a model answers: the examples of an evaluation, and greedy generation over them."""

from collections.abc import Callable, Mapping, Sequence

import torch

from fedvlm_flwr.config import Eval
from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.data.framing import frame_of, to_image_frame, to_model_frame
from fedvlm_flwr.models.merged import merged_adapters
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.seeding import stream

StepFn = Callable[[int, int], None]  # answers given so far, answers in all


def by_task(examples: Sequence[Example]) -> dict[str, list[Example]]:
    """Examples of each task, tasks sorted by name."""
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.task, []).append(example)
    return dict(sorted(groups.items()))


def sample(
    rows: Mapping[str, Sequence[int]], settings: Eval, seed: int
) -> dict[str, Sequence[int]]:
    """The rows of at most `eval.max_examples` of each task, the same ones in every round.

    Args:
        rows: the test table's row numbers by task.
        seed: of the run.
    """
    most = settings.max_examples
    result: dict[str, Sequence[int]] = {}
    for task, members in rows.items():
        result[task] = members
        if most is not None and len(members) > most:
            picks = stream(seed, f"eval {task}").choice(len(members), most, replace=False)
            result[task] = [members[i] for i in sorted(picks.tolist())]
    return result


def part_of(count: int, part: int, parts: int) -> range:
    """The numbers of the questions in a part, where so many are divided."""
    return range(part * count // parts, (part + 1) * count // parts)


def generate_answers(
    model: Resident, examples: Sequence[Example], settings: Eval, step: StepFn | None = None
) -> list[str]:
    """The model's greedy answers; it is shown images and questions and never an answer.

    Boxes go to the model as it sees the image, padded or cropped, and its own come back as
    fractions of the image.

    Args:
        settings: its `batch_size` and `max_new_tokens` are used.
        step: called after each batch.

    Returns:
        One text an example, in the examples' order.

    Raises:
        DataError: an image is missing or unreadable, or a question does not fit; names it.
    """
    vlm, most = model.vlm, settings.max_new_tokens
    assert most is not None  # the evaluator has settled it
    frames = [frame_of(example, vlm.frame) for example in examples]
    inputs = [to_model_frame(*pair) for pair in zip(examples, frames, strict=True)]
    prompts = [
        vlm.encode(one.question, None, one.history, pictures=len(one.images)) for one in inputs
    ]
    order = order_of(examples, [len(prompt.prompt_ids) for prompt in prompts])
    result = [""] * len(examples)
    vlm.module.eval()
    with torch.inference_mode(), merged_adapters(vlm):
        for start in range(0, len(order), settings.batch_size):
            batch = order[start : start + settings.batch_size]
            features = model.features([image for i in batch for image in examples[i].images])
            texts = vlm.generate(features, [prompts[i] for i in batch], most)
            for i, text in zip(batch, texts, strict=True):
                result[i] = to_image_frame(text, examples[i].task, frames[i])
            if step:
                step(start + len(batch), len(order))
    return result


def order_of(examples: Sequence[Example], lengths: Sequence[int]) -> list[int]:
    """The numbers of examples in the order in which they are answered.

    Prompts of one length together: less padding, and no row waits for a longer one. Where there are
    several questions on each picture, those together: a model may look at it once for all of them.
    """
    pictures = {picture: i for i, example in enumerate(examples) for picture in example.images}
    if 2 * len(pictures) > len(examples):
        return sorted(range(len(examples)), key=lambda i: (lengths[i], i))
    first = [min((pictures[p] for p in example.images), default=-1) for example in examples]
    return sorted(range(len(examples)), key=lambda i: (first[i], lengths[i], i))
