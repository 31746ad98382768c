"""The encoder-free family: image tokens and words in one sequence."""
