"""What the parameters of every algorithm are."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import OmegaConf

from fedvlm_flwr.config.choice import Choice, make_choice
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugin_folder import conf_file
from fedvlm_flwr.plugins import available
from fedvlm_flwr.settings import facts_of, setting, short


@dataclass(frozen=True)
class RuleParams:
    """The keys of the YAML of a rule for adapters, beside its name.

    Raises:
        ConfigError: a value is out of the range that its field states.
    """

    def __post_init__(self) -> None:
        for each in fields(self):
            facts_of(each).check(getattr(self, each.name), f"algorithm.{each.name}")


def read_adapters(value: Any, where: str) -> Choice[Any] | None:
    """The rule for adapters that an algorithm is combined with.

    Args:
        value: a rule's name, or a mapping with it and what of its YAML is to be another value.

    Raises:
        ConfigError: there is no such rule, or a value does not fit.
    """
    if value is None:
        return None
    own = {"name": value} if isinstance(value, str) else value
    name = own.get("name") if isinstance(own, Mapping) else None
    if name not in available("strategies"):
        raise ConfigError(
            f"{where}={short(value)} is no rule for adapters; name one of conf/algorithm, e.g. "
            "flexlora, or set it to null."
        )
    path = conf_file("algorithm", name)
    if path is None:
        raise ConfigError(f"{where}={name} has no conf/algorithm/{name}.yaml; write it.")
    shipped = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(shipped, dict), "an algorithm's YAML is a mapping"
    choice = make_choice("algorithm", {**{str(k): v for k, v in shipped.items()}, **own}, where)
    if isinstance(choice.params, AlgorithmParams):
        raise ConfigError(
            f"{where}={name} is an algorithm of its own and no rule for adapters; choose "
            f"algorithm={name}, or another rule."
        )
    return choice


@dataclass(frozen=True)
class AlgorithmParams(RuleParams):
    """The keys of an algorithm's YAML beside its name; a subclass adds its own.

    Raises:
        ConfigError: a value is out of the range that its field states.
    """

    adapters: Choice[Any] | None = field(
        default=None, kw_only=True, metadata=setting(group="algorithm", read=read_adapters)
    )
    """A rule for the LLM's adapters beside this one for all else; null: this one has them too."""
