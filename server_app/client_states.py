"""Where simulated clients keep their state: in the run folder, found by a link of the run's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from fedvlm_flwr.paths import client_states
from fedvlm_flwr.run_folder import CLIENTS, RunFolder


@contextmanager
def client_states_in(folder: RunFolder) -> Iterator[str]:
    """Let clients that share this machine's cache folder keep their state in the run folder.

    They find it by a link of the cache folder, whose name is drawn anew each time and yielded: no
    earlier run, copy of this run or late client can have made anything of that name. Links that
    killed runs have left behind are removed.
    """
    target, links = folder.path / CLIENTS, client_states()
    target.mkdir(exist_ok=True)
    links.mkdir(parents=True, exist_ok=True)
    for link in links.iterdir():
        if link.is_symlink() and not RunFolder(link.readlink().parent).is_locked():
            link.unlink(missing_ok=True)
    session = uuid4().hex
    (links / session).symlink_to(target, target_is_directory=True)
    try:
        yield session
    finally:
        (links / session).unlink(missing_ok=True)
