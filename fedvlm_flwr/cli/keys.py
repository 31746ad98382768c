"""Print every key of the configuration with its type, range and meaning.

usage: fedvlm keys

The page is Markdown (docs/configuration.md); `fedvlm keys | grep train.lr` shows one key.
"""

from fedvlm_flwr.config.reference import reference


def main(arguments: list[str]) -> int:
    """Print the reference."""
    if arguments:
        print(__doc__)
        return 0 if arguments[0] in ("-h", "--help") else 2
    print(reference(), end="")
    return 0
