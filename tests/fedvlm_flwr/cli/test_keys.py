"""fedvlm keys: the reference of the configuration is what the fields say."""

from pathlib import Path

from fedvlm_flwr.cli import main
from fedvlm_flwr.config.reference import sections
from fedvlm_flwr.settings import short

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_what_the_command_prints() -> None:
    """Of what stands there; a module that is added needs no line in it."""
    now = dict(sections())
    _, *parts = PAGE.read_text(encoding="utf-8").split("\n## ")
    assert parts and parts[0].startswith("Every run\n")
    for part in parts:
        title, _, table = part.partition("\n\n")
        assert table.strip() == now[title].strip(), f"{title}: fedvlm keys > {PAGE.name}"


def test_the_command_prints_type_range_and_meaning(capsys) -> None:
    assert main(["keys"]) == 0
    printed = capsys.readouterr().out
    assert "| `train.lr` | number in (0, 1000] | Learning rate of the first round. |" in printed
    assert "| `wire.dtype` | one of float32, bfloat16, int8 |" in printed
    assert "| `clients_per_round` | whole number in [1, 100000], or null |" in printed
    assert "## algorithm: scaffold\n" in printed and "`algorithm.correction`" in printed
    assert main(["keys", "--help"]) == 0 and main(["keys", "all"]) == 2


def test_a_value_in_a_message_has_a_length() -> None:
    assert short("x" * 999) == f"'{'x' * 79}..." and short(10**9999) == "a number of 33216 bits"
