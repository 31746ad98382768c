"""The settings of the kind `hf_vlm`."""

from dataclasses import dataclass, field

from fedvlm_flwr.config.loading import Loading
from fedvlm_flwr.settings import setting


@dataclass(frozen=True, kw_only=True)
class Params(Loading):
    """The keys of a model YAML of this kind."""

    checkpoint: str = field(metadata=setting(path=True))
    """An image-text-to-text model of a known family: a local folder or a hub id."""
