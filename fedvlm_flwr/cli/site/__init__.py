"""Run a site of a deployed federation: its resident process, its log, its data and its states.

usage: fedvlm site COMMAND [KEY=VALUE ...]
"""

from fedvlm_flwr.cli import USAGE_ERROR, commands_of
from fedvlm_flwr.contracts import Command
from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugins import load_as


def main(arguments: list[str]) -> int:
    """Run one of the site's commands, each a module of this package.

    Raises:
        ConfigError: there is no such command.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(commands_of(__name__, str(__doc__).strip(), "fedvlm site"))
        return 0 if arguments else USAGE_ERROR
    return load_as(Command, __name__, arguments[0], "site command").main(arguments[1:])


def read_words(words: list[str], *keys: str) -> dict[str, str]:
    """The values of a command's words `KEY=VALUE`.

    Args:
        keys: those that the command knows, in kebab-case as in a node-config.

    Raises:
        ConfigError: a word is none, its key is unknown or written twice, or it has no value.
    """
    values: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not value or key not in keys:
            choices = ", ".join(f"{each}=..." for each in keys)
            raise ConfigError(f"'{word[:80]}' is none of what can be set here: {choices}.")
        if key in values:
            raise ConfigError(f"{key} is set twice, to {values[key]} and {value}; set it once.")
        values[key] = value
    return values
