"""What the SuperLink engine is made of: Flower's commands, the following of a run, its note."""
