"""Examples rewritten for the frame in which a model sees their image, answers rewritten back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fedvlm_flwr.data.federated import Example
from fedvlm_flwr.images.boxes import change_boxes
from fedvlm_flwr.images.frame import WHOLE, Frame
from fedvlm_flwr.tasks import load_task


def to_model_frame(example: Example, frame: Frame) -> Example:
    """An example whose questions and answers tell boxes as the model sees them.

    Boxes are looked for where the example's task holds some (`BOXES_IN`), and are written with the
    example's `box_decimals`; nothing else of the text changes.
    """
    places = load_task(example.task).BOXES_IN
    if not places:
        return example

    def in_frame(question: str, answer: str) -> tuple[str, str]:
        texts = (("question", question), ("answer", answer))
        first, second = (
            change_boxes(text, frame.to_frame, example.box_decimals) if place in places else text
            for place, text in texts
        )
        return first, second

    question, answer = in_frame(example.question, example.answer)
    history = tuple(in_frame(*pair) for pair in example.history)
    return replace(example, question=question, answer=answer, history=history)


def to_image_frame(text: str, task: str, frame: Frame) -> str:
    """A model's answer with its boxes in fractions of the picture."""
    if frame == WHOLE or "answer" not in load_task(task).BOXES_IN:
        return text
    return change_boxes(text, frame.to_image, None)


def frame_of(example: Example, look: Callable[[Path], Frame]) -> Frame:
    """What a model sees of an example's picture; without a look where no text can hold a box.

    Boxes are told of one picture; of several, or none, there is no frame.

    Args:
        look: the model's `frame`, which reads the picture's header.

    Raises:
        DataError: the header cannot be read; names the picture's path.
    """
    if not load_task(example.task).BOXES_IN or len(example.images) != 1:
        return WHOLE
    return look(example.image)
