"""Several runs by one command: their folder, their names, what became of each."""
