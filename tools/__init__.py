"""What makes the documentation's site and its generated pages; no run needs it."""
