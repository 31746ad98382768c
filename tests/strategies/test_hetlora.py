"""hetlora."""
