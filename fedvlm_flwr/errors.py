"""Errors whose text is one sentence for the user: the thing, its value, what to change."""


class FedVLMError(Exception):
    """Base of every error that the command line prints as one sentence, without a traceback."""


class ConfigError(FedVLMError):
    """A configuration value is unknown, out of range or contradicts another."""


class SiteError(ConfigError):
    """What a site says of itself in its node-config cannot be used."""


class DataError(FedVLMError):
    """A dataset, a record or a picture cannot be used as it is."""


class ModelError(FedVLMError):
    """A model, one of its parts or its cached files cannot be used as they are."""


class DisclosureError(FedVLMError):
    """A site would tell of fewer records than it may."""


class VocabularyError(ConfigError):
    """A model has no words for a large part of what it shall learn to say."""


class RunError(FedVLMError):
    """A run cannot start or go on (too few good replies, a dead engine, an occupied folder)."""


class DamagedRun(RunError):  # noqa: N818  # a finding about a folder
    """A file of a run folder is not what was written."""


class RequestError(RunError):
    """A client cannot or will not do what it is asked."""


class PolicyError(RequestError):
    """A site's own policy does not allow what it is asked."""


class StateError(RunError):
    """What a client saved in an earlier round cannot be read or written."""


class DivergedError(RunError):
    """The loss of a local training is not finite."""


class OutOfMemory(RunError):  # noqa: N818  # the thing itself, not an error about it
    """Neither device nor host memory is enough; says what to lower."""
