"""What is done with a finished run: its model loaded, asked, scored anew and exported."""
