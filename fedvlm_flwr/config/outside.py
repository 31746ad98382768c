"""What a run-configuration from outside may not do: read the environment, files, or name paths.

Client and server compose the same run-config, so a value that is resolved on a client could carry
something of that client's machine: an environment variable, a file, a YAML that is none of conf/.
"""

import re
from collections.abc import Sequence

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.plugin_folder import conf_dirs
from fedvlm_flwr.settings import NAME

# `${train.lr}` stays inside the configuration; `${oc.env:HOME}` and whatever else is nested do not.
INSIDE = re.compile(r"\$\{\s*(?!hydra\b)[A-Za-z_][\w.]*\s*\}")
KEY = re.compile(r"[+~]{0,2}[A-Za-z_][\w.\-]*")  # no `hydra/launcher`, no `group@package`

LONGEST = 10_000  # characters of an override; Hydra reads a million for a quarter of a minute


def require_closed(overrides: Sequence[str]) -> None:
    """Refuse overrides whose values would come from outside the configuration.

    Raises:
        ConfigError: names the override's key, and says what to write instead; never a value that
            would have been resolved.
    """
    groups = {path.name for place in conf_dirs() for path in place.iterdir() if path.is_dir()}
    for override in overrides:
        key, _, value = override.partition("=")
        if len(override) > LONGEST:
            raise ConfigError(
                f"The override of {key[:80]} has {len(override)} characters, more than {LONGEST}; "
                "shorten it."
            )
        if not KEY.fullmatch(key) or key.lstrip("+~").partition(".")[0] == "hydra":
            raise ConfigError(
                f"The override {key[:80]!r} is none of a key of conf/; remove it (a sweep's and "
                "Hydra's own keys belong to the command line of `fedvlm run`)."
            )
        if "${" in INSIDE.sub("", value):
            raise ConfigError(
                f"The override of {key} reads from outside the configuration; write its value, or "
                "${key} for that of another key."
            )
        if key in groups and value not in ("", "null") and not NAME.fullmatch(value.strip("'\"")):
            raise ConfigError(
                f"The override of {key} is no name; choose one of the files in conf/{key} "
                "(letters, digits, '.', '_' and '-')."
            )
