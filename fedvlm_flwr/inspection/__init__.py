"""What a deployed run would meet at a site or at the server; each finding with its cure."""
