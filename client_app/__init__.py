"""The ClientApp: a thin door, and behind it the worker that trains a resident model."""
