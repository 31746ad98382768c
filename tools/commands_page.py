"""The reference of the commands: what each one says of itself with --help, as a page.

Written by `python -m tools.commands_page > docs/commands.md`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from fedvlm_flwr.cli import PACKAGE
from fedvlm_flwr.plugins import available

FOLDER = Path(__file__).parents[1].joinpath(*PACKAGE.split("."))
HEAD = """\
# Every command

Written by `python -m tools.commands_page > docs/commands.md` from what each command says with
`--help`. Commands that were added since are in what `fedvlm help` lists. Their keys are in
[configuration.md](configuration.md).
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *(f"## {title}\n\n{text}" for title, text in sections())])


def sections() -> Iterator[tuple[str, str]]:
    """Each command, those inside others after them, with its help text in Markdown."""
    yield from _commands(PACKAGE, FOLDER, "fedvlm")


def _commands(package: str, folder: Path, command: str) -> Iterator[tuple[str, str]]:
    for name in available(package, packages=True):
        # Read, not imported: some commands bring torch with them.
        module, inner = folder / f"{name}.py", folder / name / "__init__.py"
        source = (module if module.is_file() else inner).read_text(encoding="utf-8")
        summary, _, rest = (ast.get_docstring(ast.parse(source)) or "").partition("\n")
        yield f"{command} {name}", f"{summary}\n\n```text\n{rest.strip()}\n```\n"
        if inner.is_file():
            yield from _commands(f"{package}.{name}", folder / name, f"{command} {name}")


if __name__ == "__main__":
    print(page(), end="")
