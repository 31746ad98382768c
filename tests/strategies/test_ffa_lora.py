"""ffa_lora."""
