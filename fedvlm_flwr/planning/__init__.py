"""What a run will take, told before it: sizes, memory, placement. No run needs it."""
