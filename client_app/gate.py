"""What stands between a site and the server: the site's own policy, and its log of all that passes.

A simulated node has neither.
"""

from collections.abc import Mapping
from pathlib import Path

from flwr.app import Message, RecordDict

from client_app.audit import Audit
from client_app.policy import Policy
from client_app.site import site_of

Scalars = Mapping[str, bool | int | float | str]


class Gate:
    """One message's way into a site and out of it.

    Args:
        folder: the site's state-dir; None: of a simulated node, which has no rules of its own.
        site: its name; empty: it is simulated.
    """

    def __init__(self, folder: Path | None, site: str = "") -> None:
        self._folder, self.site = folder, site
        self._policy = Policy()

    @classmethod
    def of(cls, node_config: Scalars) -> "Gate":
        """The gate of a node.

        Raises:
            SiteError: the node-config of a site cannot be used.
        """
        site = site_of(node_config)
        return cls(site.states, site.site) if site else cls(None)

    def admit(self, message: Message, run_config: Scalars) -> None:
        """Log a message that has come, and refuse it where the site's policy says so.

        Raises:
            StateError: the log cannot be written.
            PolicyError: the policy refuses it, or cannot be used.
            ConfigError: the run's configuration cannot be composed.
        """
        if self._folder is None:
            return
        Audit(self._folder).arrival(message)
        self._policy = Policy.read(self._folder)
        self._policy.check(message, run_config)

    def release(self, content: RecordDict) -> RecordDict:
        """A reply without what the policy keeps at the site."""
        return self._policy.release(content)

    def log(self, message: Message, content: RecordDict, words: str) -> None:
        """Log what is given back, before it is.

        Args:
            words: what went wrong; empty: nothing.

        Raises:
            StateError: the log cannot be written.
        """
        if self._folder is not None:
            Audit(self._folder).departure(message, content, words)
