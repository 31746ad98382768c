"""Pixtral's processor without torchvision.

transformers' own (`transformers.models.pixtral.processing_pixtral`) does the same by the same
methods, but can be imported only beside torchvision, which has no part in how it writes a prompt.
"""

from typing import Any

from transformers.processing_utils import ProcessorMixin

PLACE, ROW_END, END = "[IMG]", "[IMG_BREAK]", "[IMG_END]"


class PixtralProcessor(ProcessorMixin):
    """A picture's place in a prompt becomes rows of image tokens, each with its end.

    Args:
        image_processor, tokenizer, chat_template: see `ProcessorMixin`.
        patch_size: of the vision tower, in pixels.
        spatial_merge_size: patches of the tower that make one image token, along each side.
        image_token: for each of these groups of patches.
        image_break_token: behind each row but the last.
        image_end_token: behind the last row.
    """

    def __init__(  # noqa: PLR0913  # what a checkpoint's processor_config.json may hold
        self,
        image_processor: Any,
        tokenizer: Any,
        patch_size: int = 16,
        spatial_merge_size: int = 1,
        chat_template: str | None = None,
        image_token: str = PLACE,
        image_break_token: str = ROW_END,
        image_end_token: str = END,
    ) -> None:
        super().__init__(image_processor, tokenizer, chat_template=chat_template)  # type: ignore[no-untyped-call]
        self.patch_size = patch_size
        self.spatial_merge_size = spatial_merge_size
        self.image_token = image_token
        self.image_break_token = image_break_token
        self.image_end_token = image_end_token
        self.image_token_id = tokenizer.convert_tokens_to_ids(image_token)

    def _process_images(self, images: Any, **settings: Any) -> Any:
        """Sides of pictures are whole groups of patches."""
        settings["patch_size"] = self.patch_size * self.spatial_merge_size
        return super()._process_images(images, **settings)

    def replace_image_token(self, image_inputs: Any, image_idx: int, **settings: Any) -> str:
        """What stands for a picture, by its size after processing."""
        height, width = image_inputs["image_sizes"][image_idx]
        side = self.patch_size * self.spatial_merge_size
        rows = [self.image_token * (width // side)] * (height // side)
        return self.image_break_token.join(rows) + self.image_end_token
