"""What watches the round loop and writes it down."""
