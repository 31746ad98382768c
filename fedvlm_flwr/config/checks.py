"""How a contradiction between keys is refused."""

from fedvlm_flwr.errors import ConfigError


def require(condition: bool, message: str) -> None:
    """Refuse with a sentence unless the condition holds.

    Raises:
        ConfigError: it does not.
    """
    if not condition:
        raise ConfigError(message)
