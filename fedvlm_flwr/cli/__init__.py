"""The `fedvlm` command line: one file a command, found by name."""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

from fedvlm_flwr.bundle import require_own_packages
from fedvlm_flwr.contracts import Command
from fedvlm_flwr.errors import ConfigError, FedVLMError
from fedvlm_flwr.first_import import first_import
from fedvlm_flwr.machine_errors import machine_sentence
from fedvlm_flwr.plugins import available, load_as
from fedvlm_flwr.report.streams import accept_any_text

PACKAGE = "fedvlm_flwr.cli"
USAGE_ERROR = 2
DOCTOR = "doctor"  # tells by itself what else would end a command


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status (0 success, 1 failure, 2 wrong usage).

    A command is a module with a docstring, whose first line is its summary, and
    `main(arguments) -> int`; one that has commands of its own is a package (see `cli/site`).
    """
    accept_any_text()
    words = [from_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else USAGE_ERROR
    try:
        return _run(words[0], words[1:])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(name: str, arguments: list[str]) -> int:
    """Load a command and run it; what it cannot do is told in a sentence."""
    try:
        with first_import():
            command = load_as(Command, PACKAGE, name, "command", packages=True)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    try:
        if name != DOCTOR:
            require_own_packages()
        return command.main(arguments)
    except FedVLMError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        sentence = machine_sentence(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 1


def from_home(word: str) -> str:
    """A word `key=~/...` with the user's home folder: the shell leaves it, and Hydra refuses it."""
    key, sign, value = word.partition("=")
    return f"{key}{sign}{Path(value).expanduser()}" if value.startswith("~/") else word


def usage() -> str:
    """The list of commands with their summaries."""
    title = "fedvlm: federated fine-tuning of vision-language models"
    return commands_of(PACKAGE, title, "fedvlm")


def commands_of(package: str, title: str, command: str) -> str:
    """A title, the commands of a package with their summaries, and how to read more.

    Args:
        command: how the commands begin, `fedvlm site`.
    """
    lines = [title, "", "commands:"]
    for name in available(package, packages=True):
        # Read, not imported: some commands bring torch with them.
        spec = find_spec(f"{package}.{name}")
        assert spec is not None and spec.origin is not None, "it was found by this name"
        source = Path(spec.origin).read_text(encoding="utf-8")
        summary = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
        lines.append(f"  {name:<10} {summary}")
    return "\n".join([*lines, "", f"{command} COMMAND --help tells more."])
