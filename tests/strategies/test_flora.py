"""flora."""
