"""A run's model as a folder to take home: an adapter for its base, or a merged model."""

import tempfile
from pathlib import Path

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.models.adapter import TENSORS, save_adapter
from fedvlm_flwr.paths import share
from fedvlm_flwr.takehome.card import card
from fedvlm_flwr.takehome.loading import RunModel
from fedvlm_flwr.takehome.merging import save_merged

CARD = "README.md"


def require_room(out: Path) -> None:
    """Refuse a place where something lies.

    Raises:
        RunError: names it.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunError(f"--out {out} is there and not an empty folder; name another one.")


def export(run_model: RunModel, out: Path, *, merged: bool) -> None:
    """Write the model and its card; the folder is there whole, or not at all.

    Args:
        run_model: cannot be used any more where it is merged.
        out: not there yet, or an empty folder.
        merged: one model in transformers' own format; else the adapter with its connector.

    Raises:
        RunError: something lies there; or the model cannot be merged, says why.
        ModelError: transformers would ask or see otherwise.
    """
    require_room(out)
    run, model = run_model.run, run_model.model
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name[:100]}.") as name:
        folder = Path(name, "whole")
        folder.mkdir()
        if merged:
            save_merged(run_model, folder)
            form = "merged" if asks_by_template(folder) else "plain"
        else:
            residual, tuning = run_model.residual, run.config.tuning
            save_adapter(model.vlm, tuning, run_model.arrays, folder, residual, model.first)
            form = "adapter" if (folder / TENSORS).exists() else "partial"
        text = card(run, form, run_model.client)
        (folder / CARD).write_text(text, encoding="utf-8")
        share(folder)
        folder.replace(out)


def asks_by_template(folder: Path) -> bool:
    """Whether a merged model's files say how a question is written."""
    texts = (folder / "processor_config.json", folder / "tokenizer_config.json")
    return (folder / "chat_template.jinja").exists() or any(
        path.exists() and '"chat_template"' in path.read_text(encoding="utf-8")
        for path in (*texts, folder / "chat_template.json")
    )
