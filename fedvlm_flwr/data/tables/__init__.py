"""What the rows of a user's tables mean: their splits, columns, answers, turns and pictures."""
