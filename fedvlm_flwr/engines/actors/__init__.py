"""What the Ray engine is made of: its environment, Ray itself, the actors and their messages."""
