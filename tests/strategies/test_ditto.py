"""ditto."""
