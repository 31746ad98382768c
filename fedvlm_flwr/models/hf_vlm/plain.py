"""A merged model of a transformers family: its network, with the checkpoint's own processor."""

import shutil
from pathlib import Path

from huggingface_hub import snapshot_download

from fedvlm_flwr.models.hf_vlm.model import HfVlm

TEXTS = frozenset({".json", ".jinja", ".model", ".txt"})  # what tokenizers and processors lie in
OWN = ("config.json", "generation_config.json")  # of the network, which writes them itself


def reason_against(vlm: HfVlm) -> str:
    """Why transformers cannot compute it: nothing, it is transformers' own."""
    return ""


def save(vlm: HfVlm, folder: Path) -> None:
    """Write the network, and beside it the checkpoint's processor files as they are.

    Greedy decoding and the tokens that end an answer are in its `generation_config.json`.
    """
    vlm.module.save_pretrained(folder)  # type: ignore[operator]
    base = Path(vlm.base)
    source = base if base.is_dir() else Path(snapshot_download(vlm.base, local_files_only=True))
    for path in sorted(source.iterdir()):
        if path.suffix in TEXTS and path.name not in OWN and ".index" not in path.suffixes:
            shutil.copyfile(path, folder / path.name)
