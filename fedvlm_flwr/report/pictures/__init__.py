"""Pictures of a report: one file for each kind of drawing."""
