"""What kind of node this is."""

from collections.abc import Collection

# The node-config keys that Flower gives to a simulated node; a real site sets others.
SIMULATED_KEYS = {"partition-id", "num-partitions"}


def is_simulated(node_config: Collection[str]) -> bool:
    """Whether the node stands for whichever client it is asked to be."""
    return set(node_config) == SIMULATED_KEYS
