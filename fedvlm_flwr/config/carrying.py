"""How messages are carried: the engine, and the form of arrays on the wire."""

import re
from dataclasses import dataclass, field

from fedvlm_flwr.config.checks import require
from fedvlm_flwr.settings import carrier, setting

ADDRESS = re.compile(r"[A-Za-z0-9._\-]{1,253}:[0-9]{1,5}")  # of a Ray cluster


@dataclass(frozen=True)
class Wire:
    """How arrays travel."""

    dtype: str = field(metadata=setting(choices=("float32", "bfloat16", "int8")))
    """Number format of tensors in messages: float32; bfloat16 at half the bytes or int8 at a
    quarter, in which changes travel and what rounding leaves behind goes with the next one."""

    @property
    def short(self) -> bool:
        """Whether tensors travel as changes, which are rounded."""
        return self.dtype != "float32"


@dataclass(frozen=True)
class Engine:
    """What carries the messages, and each client process's share of the machine."""

    name: str = field(metadata=carrier(name=True))
    """The module in `fedvlm_flwr.engines` that runs the app: ray, inprocess or superlink."""
    cpus_per_client: int = field(metadata=carrier(least=1, most=1024))
    """CPU cores that Ray reserves for one client process."""
    gpus_per_client: float = field(metadata=carrier(least=0, most=64))
    """Share of a GPU that Ray reserves for one client process; 0.25: four share one."""
    threads: int = field(metadata=carrier(least=1, most=1024))
    """CPU threads of torch in a client process."""
    device: str = field(metadata=carrier(choices=("auto", "cpu", "cuda")))
    """Where models lie: cpu, cuda, or auto: cuda where there is one."""
    num_supernodes: int | None = field(metadata=carrier(least=1, most=100_000))
    """Simulated nodes at most, which serve the clients in turn: Flower looks at each of them again
    and again, and asks each who it is. Null: one for each client."""
    feature_megabytes: float = field(metadata=carrier(above=0, most=1e7))
    """Memory for image features in each process, in megabytes."""
    address: str | None = field(metadata=carrier())
    """A Ray cluster to run on, `host:port`; null: each run starts a Ray of its own."""
    address_timeout: float = field(metadata=carrier(above=0, most=3600))
    """Seconds to wait for that cluster, or for a SuperLink that does not answer any more."""
    sites: dict[str, str] | None = field(metadata=carrier())
    """Real sites that stand in one process, their folders by name, to try `engine=superlink` out
    with `engine=inprocess`; null: the clients are simulated."""
    connection: str | None = field(metadata=carrier())
    """A SuperLink with real sites, as `$FLWR_HOME/config.toml` names it; null: none."""
    result_megabytes: float = field(metadata=carrier(least=0, most=1000))
    """Largest file that comes back from that SuperLink, in megabytes; larger ones stay there."""
    features_on_disk: bool = field(metadata=carrier())
    """Whether image features are kept in $FEDVLM_HOME/features as well."""

    def __post_init__(self) -> None:
        require(
            self.address is None or bool(ADDRESS.fullmatch(self.address)),
            f"engine.address={self.address!r} is not host:port; write e.g. 10.0.0.1:6379, or null "
            "for a Ray of the run's own.",
        )
        require(
            not self.sites or self.name == "inprocess",
            f"engine.sites are folders of one machine, which engine={self.name} does not use; "
            "choose engine=inprocess, or set them to null.",
        )
        require(
            self.connection is None or self.name == "superlink",
            f"engine.connection={self.connection} names a SuperLink, which engine={self.name} does "
            "not use; set it to null or choose engine=superlink.",
        )

    def nodes_for(self, clients: int) -> int:
        """How many simulated nodes serve so many clients."""
        return min(clients, self.num_supernodes or clients)

    @property
    def real_sites(self) -> bool:
        """Whether the nodes are real sites, each with data of its own."""
        return self.name == "superlink" or bool(self.sites)
