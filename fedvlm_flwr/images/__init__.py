"""Images: read from disk, boxes in text, and the frame in which a model sees an image."""
