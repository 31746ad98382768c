"""The pieces of the round loop that every algorithm shares."""
