"""The kinds of model that a user can choose (`model.kind`), one module each."""
