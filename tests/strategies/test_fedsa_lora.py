"""fedsa_lora."""
