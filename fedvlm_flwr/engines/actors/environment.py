"""The environment of an engine's processes: what of the user's would break them is set right."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fedvlm_flwr.errors import RunError
from fedvlm_flwr.plugin_folder import VARIABLE as PLUGINS

FIXED = {
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_COLOR_PREFIX": "0",
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",  # Flower's log has signs that no ASCII stream takes
}
# Bytes that Ray carries within a call or its answer (100 kB else). What is larger it keeps in its
# memory, and its own process has work of that each time.
WITHIN_A_CALL = 2**20
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
OWN_RAY = "local"  # to Ray: start a new one, whatever runs on the machine

# A Unix socket's path has 107 bytes. Ray's lies in the engine's folder:
# /fedvlm-flwr-12345678/ray/session_2026-11-26_17-48-57_123456_1234567/sockets/plasma_store
TMP = "/tmp"  # noqa: S108  # the short place of every Linux
SOCKET_PATH = 107
SOCKET = len("/ray/session_2026-11-26_17-48-57_123456_1234567/sockets/plasma_store")
LONGEST_OF_RAY = SOCKET_PATH - SOCKET  # where Ray itself makes its folder
LONGEST_PARENT = LONGEST_OF_RAY - len("/fedvlm-flwr-12345678")


def engine_environment(
    variables: Mapping[str, str], home: Path, address: str | None
) -> dict[str, str]:
    """The environment of a run on Ray and of all that it starts.

    Args:
        variables: the environment of this process.
        home: a folder of the run's own, with a short path; Ray keeps its files there.
        address: of a Ray cluster to use, `host:port`; None: the run starts a Ray of its own.
    """
    own = {"RAY_ADDRESS": address or OWN_RAY}
    own["RAY_max_direct_call_object_size"] = str(WITHIN_A_CALL)
    if address is None:
        own["RAY_TMPDIR"] = str(home)
    if variables.get(PLUGINS):  # a relative path leads elsewhere from another folder
        own[PLUGINS] = str(Path(variables[PLUGINS]).expanduser().resolve())
    return {**variables, **FIXED, **own, **without_proxy(variables)}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have these variables, and no others, while the block lasts."""
    before = dict(os.environ)
    _become(variables)
    try:
        yield
    finally:
        _become(before)


def _become(variables: Mapping[str, str]) -> None:
    os.environ.update(variables)
    for name in set(os.environ) - set(variables):
        del os.environ[name]


def of_actors(variables: Mapping[str, str]) -> dict[str, str]:
    """What actors on other machines are to have of this environment: where modules are found."""
    paths = [*sys.path, *variables.get("PYTHONPATH", "").split(os.pathsep)]
    own = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, paths)))}
    return own | ({PLUGINS: variables[PLUGINS]} if PLUGINS in variables else {})


def without_proxy(variables: Mapping[str, str], *hosts: str) -> dict[str, str]:
    """`no_proxy` as it is, and this machine: what is local never goes through a proxy.

    Args:
        hosts: others that never do.
    """
    names = [
        name.strip()
        for key in ("no_proxy", "NO_PROXY")
        for name in variables.get(key, "").split(",")
        if name.strip()
    ]
    text = ",".join(dict.fromkeys([*names, *LOOPBACK, *hosts]))
    return {"no_proxy": text, "NO_PROXY": text}


def proxied(variables: Mapping[str, str]) -> str | None:
    """The variable that sends local traffic of an unprepared process through a proxy, if any."""
    exempt = variables.get("no_proxy", variables.get("NO_PROXY", "")).replace(" ", "").split(",")
    if "*" in exempt or set(LOOPBACK[:2]) <= set(exempt):
        return None
    return next((name for name in PROXIES if variables.get(name)), None)


def socket_parent(variables: Mapping[str, str]) -> Path:
    """Where the engine's folder is made: the first place that is short enough for sockets.

    That is `$RAY_TMPDIR`, `$TMPDIR` or /tmp.

    Raises:
        RunError: none of them can be written and is short enough; names them.
    """
    places = [variables[key] for key in ("RAY_TMPDIR", "TMPDIR") if variables.get(key)]
    places = list(dict.fromkeys([*places, TMP]))
    for place in places:
        if fits(place) and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):  # noqa: PTH112
            return Path(place)
    raise RunError(
        f"No place for Ray's sockets: {' and '.join(places)} cannot be written or have more than "
        f"{LONGEST_PARENT} bytes; set RAY_TMPDIR to a folder with a short path that you can "
        "write to, or use engine=inprocess."
    )


def fits(place: str) -> bool:
    """Whether sockets can lie in the folder of an engine in that place."""
    return len(os.fsencode(place)) <= LONGEST_PARENT
