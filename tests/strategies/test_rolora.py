"""rolora."""
