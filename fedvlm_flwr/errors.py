"""Errors whose text is one sentence for the user: the thing, its value, what to change."""


class FedVLMError(Exception):
    """Base of every error that the command line prints as one sentence, without a traceback."""


class ConfigError(FedVLMError):
    """A configuration value is unknown, out of range or contradicts another."""


class DataError(FedVLMError):
    """A dataset, a record or a picture cannot be used as it is."""


class ModelError(FedVLMError):
    """A model, one of its parts or its cached files cannot be used as they are."""


class RunError(FedVLMError):
    """A run cannot start or go on (too few good replies, a dead engine, an occupied folder)."""
