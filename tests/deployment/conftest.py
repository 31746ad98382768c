"""A SuperLink with TLS and node authentication on the loopback, for the tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.loopback import Server, superlink
from deploy.trial_data import write_sites


@pytest.fixture(scope="module")
def server(
    home: Path, small: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A SuperLink whose homes, the sites' and the user's too, have the small run's base."""
    with superlink(tmp_path_factory.mktemp("deployment"), home / "models") as running:
        yield running


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sites' folders by name, each in another form."""
    return write_sites(tmp_path_factory.mktemp("records"), pictures=12)
