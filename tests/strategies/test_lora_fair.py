"""lora_fair."""
