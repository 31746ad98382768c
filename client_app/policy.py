"""What a site lets a server do with it: `site-policy.yaml` in its state-dir.

Whoever runs the site writes it; without one all that the app can do is allowed. It is read anew at
each message, and what it refuses is a failure with the code `policy`, before any data or model is
loaded. In a resident process the site's installed code holds it; a process that a SuperNode starts
runs the code that the server has sent, so that there it binds those alone who send this app.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedvlm_flwr.errors import ConfigError, PolicyError
from fedvlm_flwr.messages import TrainMetrics
from fedvlm_flwr.messages.fields import is_needed
from fedvlm_flwr.messages.names import METRICS, REQUEST, SCORES
from fedvlm_flwr.messages.scores import COUNT, SQUARE
from fedvlm_flwr.settings import setting

if TYPE_CHECKING:
    from fedvlm_flwr.config import Config

Scalars = Mapping[str, bool | int | float | str]

FILE = "site-policy.yaml"
NEEDED = {item.name for item in fields(TrainMetrics) if is_needed(item)}


@dataclass(frozen=True)
class Policy:
    """The site's own limits; each is null where there is none."""

    keys: list[str] | None = None
    """Configuration keys that the server may set, `train.*` for all of a group; others stay as the
    installed conf/ says. Keys that name the run's folder are free."""
    runs: list[str] | None = None
    """Runs that may ask: Flower's numbers (`flwr list`)."""
    sources: list[str] | None = None
    """Hashes of this app's source that may run here."""
    algorithms: list[str] | None = None
    """Names of algorithms."""
    max_update_norm: float | None = field(default=None, metadata=setting(above=0, most=1e12))
    """The run's `max_update_norm` must be set, and to this at most."""
    max_rounds: int | None = field(default=None, metadata=setting(least=0, most=1_000_000))
    """Rounds of all stages together, of a run and of a message."""
    metrics: list[str] | None = None
    """Names of what may leave beside the arrays: `loss`, `vqa/*`. What the round loop cannot do
    without leaves in any case: the number of examples and of steps, whether state was saved."""

    @classmethod
    def read(cls, folder: Path) -> "Policy":
        """The policy of a site by its state-dir.

        Raises:
            PolicyError: the file cannot be read, has an unknown key or a senseless value.
        """
        path = folder / FILE
        if not path.exists():
            return cls()
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        from fedvlm_flwr.config.typed import typed

        try:
            tree: Any = OmegaConf.to_container(OmegaConf.load(path))
            return typed(cls, tree, "")
        except (OSError, ValueError, YAMLError, OmegaConfBaseException, ConfigError) as error:
            words = " ".join(str(error).split())
            raise PolicyError(f"{path} cannot be used, so that all is refused: {words}") from error

    def check(self, message: Message, run_config: Scalars) -> None:
        """Refuse a message that the site does not want.

        Raises:
            PolicyError: says what the file does not allow.
            ConfigError: the run's configuration cannot be composed.
        """
        if self == Policy():
            return
        words = next(self._objections(message, run_config), None)
        if words is not None:
            raise PolicyError(f"{FILE} of this site refuses the message: {words}.")

    def _objections(self, message: Message, run_config: Scalars) -> Iterator[str]:
        from fedvlm_flwr.process import this_process

        run = str(message.metadata.run_id)
        if self.runs is not None and run not in self.runs:
            yield f"run {run} is not one of: {_listed(self.runs)}"
        if self.sources is not None:
            from fedvlm_flwr.handshake import source

            if source() not in self.sources:
                yield f"this app's source {source()} is not one of: {_listed(self.sources)}"
        config = this_process().compose(run_config)
        for key in _keys(run_config):
            if self.keys is not None and not _allowed(key, self.keys):
                yield f"the server sets {key}, which is not one of: {_listed(self.keys)}"
        if self.algorithms is not None and config.algorithm.name not in self.algorithms:
            yield f"algorithm={config.algorithm.name} is not one of: {_listed(self.algorithms)}"
        norm, most = config.max_update_norm, self.max_update_norm
        if most is not None and (norm is None or norm > most):
            yield f"max_update_norm={norm} is not at most {most:g}"
        number = max(config.all_rounds, _round(message.content, config))
        if self.max_rounds is not None and number > self.max_rounds:
            yield f"its {number} rounds are more than {self.max_rounds}"

    def release(self, content: RecordDict) -> RecordDict:
        """A reply without the metrics that may not leave."""
        patterns = self.metrics
        if patterns is not None:
            _keep(content, METRICS, lambda name: name in NEEDED or _allowed(name, patterns))
            tasks = {
                name.partition("/")[0]
                for name in content.get(SCORES, {})
                if "/" in name and not name.startswith(SQUARE) and _allowed(name, patterns)
            }

            def leaves(name: str) -> bool:
                if name.startswith(COUNT):
                    return name.removeprefix(COUNT) in tasks
                return _allowed(name.removeprefix(SQUARE), patterns)

            _keep(content, SCORES, leaves)
        return content


def _keep(content: RecordDict, name: str, leaves: Callable[[str], bool]) -> None:
    """Take from a record, where there is one, what may not leave."""
    record = content.get(name)
    if isinstance(record, MetricRecord):
        content[name] = MetricRecord({key: v for key, v in record.items() if leaves(key)})


def _allowed(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "(none)"


def _keys(run_config: Scalars) -> Iterator[str]:
    """The keys of the configuration that a run-config sets, but for those of the run's folder."""
    from fedvlm_flwr.config.compose import to_overrides
    from fedvlm_flwr.config.keys import facts_at

    for override in to_overrides(run_config):
        key = override.partition("=")[0].lstrip("+~")
        if not facts_at(key, {}).place:
            yield key


def _round(content: RecordDict, config: "Config") -> int:
    """The round that a request is of, over all stages; 0 where it does not say."""
    record = content.get(REQUEST)
    if not isinstance(record, ConfigRecord):
        return 0
    stage, number = record.get("stage"), record.get("round")
    if not isinstance(stage, int) or not isinstance(number, int):
        return 0
    return number + config.rounds_before(min(max(stage, 0), len(config.tuning.stages) - 1))
