"""What the Ray engine is made of: its processes, their environment, what they say at the end."""
