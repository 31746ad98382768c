"""Trackers: what a run's numbers are written to beside its own files, one module each, by name."""

import yaml

from fedvlm_flwr.config import Config, to_yaml
from fedvlm_flwr.contracts import TrackerKind
from fedvlm_flwr.plugins import load_as
from fedvlm_flwr.run_folder import RunFolder, leaves
from strategies.core.events import Callback


def trackers_of(config: Config, folder: RunFolder) -> list[Callback]:
    """The trackers that a run asks for.

    Raises:
        ConfigError: there is none of a name, or its package is not installed.
    """
    modules = [load_as(TrackerKind, __name__, name, "tracker") for name in config.report.trackers]
    settings = leaves(yaml.safe_load(to_yaml(config))) if modules else {}
    return [module.tracker(folder, settings) for module in modules]
