"""The encoder-based family: a vision tower, a connector, a language model."""
