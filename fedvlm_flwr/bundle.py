"""The folder of the Flower app that is sent to a SuperLink."""

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvlm_flwr.errors import ConfigError
from fedvlm_flwr.paths import PACKAGE, SHIPPED, conf_dir
from fedvlm_flwr.plugin_folder import files_in, plugin_folder
from fedvlm_flwr.temporary import temporary_folder

COMPONENTS = ("strategies", "client_app", "server_app")
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "conf", "pyproject.toml", SHIPPED.name)


def require_own_packages() -> None:
    """Refuse a PYTHONPATH on which other packages have the names of ours.

    Raises:
        ConfigError: names the package, and the folder to take off the path.
    """
    for name in COMPONENTS:
        place = hiding(name)
        if place is not None:
            raise ConfigError(
                f"The package '{name}' in {place} hides that of fedvlm_flwr; take {place} off "
                "PYTHONPATH, or rename it."
            )


def hiding(name: str) -> Path | None:
    """The folder with another package of this name that Python finds before ours; None: ours."""
    spec = importlib.util.find_spec(name)
    places = [*(spec.submodule_search_locations or ()), spec.origin] if spec else []
    folders = [Path(place).resolve() for place in places if place]
    own = PACKAGE.parent / name
    return folders[0].parent if folders and folders[0] != own else None


@contextmanager
def app_folder() -> Iterator[Path]:
    """A temporary folder with pyproject.toml, conf/ and the packages, and those of the plugins.

    An installed wheel has these files scattered over site-packages. In a checkout they lie as they
    are to be, but Flower looks through every file there, those of a virtual environment too.

    Raises:
        ConfigError: see `plugin_folder`.
    """
    plugins, checkout = plugin_folder(), PACKAGE.parent / "pyproject.toml"
    with temporary_folder() as folder:
        shutil.copy(checkout if checkout.is_file() else PACKAGE / "pyproject.toml", folder)
        shutil.copytree(conf_dir(), folder / "conf")
        shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=NOT_SOURCE)
        for component in COMPONENTS:
            shutil.copytree(PACKAGE.parent / component, folder / component, ignore=NOT_SOURCE)
        for name, path in files_in(plugins) if plugins else ():
            if not (folder / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / name)
        yield folder
