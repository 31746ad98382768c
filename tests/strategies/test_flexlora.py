"""flexlora."""
