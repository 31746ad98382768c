"""fedex_lora."""
