"""The folder of the Flower app that an engine is given."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedvlm_flwr.paths import PACKAGE

COMPONENTS = ("strategies", "client_app", "server_app")
NOT_SOURCE = shutil.ignore_patterns("__pycache__", "conf", "pyproject.toml")


@contextmanager
def app_folder() -> Iterator[Path]:
    """A folder with pyproject.toml, conf/ and the packages.

    In a checkout that is the checkout. An installed wheel has these files scattered over
    site-packages, and they are gathered in a temporary folder.
    """
    if (PACKAGE.parent / "pyproject.toml").is_file():
        yield PACKAGE.parent
        return
    with tempfile.TemporaryDirectory(prefix="fedvlm-app-") as name:
        folder = Path(name)
        shutil.copy(PACKAGE / "pyproject.toml", folder)
        shutil.copytree(PACKAGE / "conf", folder / "conf")
        shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=NOT_SOURCE)
        for component in COMPONENTS:
            shutil.copytree(PACKAGE.parent / component, folder / component, ignore=NOT_SOURCE)
        yield folder
