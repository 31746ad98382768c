"""Connectors from vision width to LLM width, by name."""

from typing import Any

from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, PreTrainedConfig

from fedvlm_flwr.models.llava.params import depth

STOCK = "mlp2x_gelu"  # the connector that transformers' own LLaVA has


class Connector(nn.Sequential):
    """Linear layers with GELU between, [B, tokens, vision width] -> [B, tokens, LLM width].

    The first widens to the LLM's width and the others keep it (Liu et al. 2023, Improved Baselines
    with Visual Instruction Tuning, arXiv 2310.03744).
    """

    def __init__(self, name: str, vision_width: int, llm_width: int) -> None:
        layers: list[nn.Module] = [nn.Linear(vision_width, llm_width)]
        for _ in range(depth(name) - 1):
            layers += [nn.GELU(), nn.Linear(llm_width, llm_width)]
        super().__init__(*layers)

    def forward(self, image_features: Tensor) -> Tensor:
        """[B, tokens, LLM width] of [B, tokens, vision width]; named as transformers calls it."""
        for layer in self:
            image_features = layer(image_features)
        return image_features


class ConnectorLlava(LlavaForConditionalGeneration):  # type: ignore[no-untyped-call]
    """LLaVA with the connector that its configuration names (`connector`)."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.model.multi_modal_projector = Connector(connector_of(config), *widths(config))


def network_class(config: PreTrainedConfig) -> Any:
    """The class of a LLaVA configuration: transformers' own wherever the connector is its own."""
    return LlavaForConditionalGeneration if connector_of(config) == STOCK else ConnectorLlava


def connector_of(config: PreTrainedConfig) -> str:
    """The connector's name in a LLaVA configuration."""
    return str(getattr(config, "connector", STOCK))


def widths(config: Any) -> tuple[int, int]:
    """Width of the features (layers side by side) and of the LLM."""
    layers = config.vision_feature_layer
    count = 1 if isinstance(layers, int) else len(layers)
    return count * config.vision_config.hidden_size, config.text_config.hidden_size
