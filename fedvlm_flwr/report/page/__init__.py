"""The page of a report: what it is made of, its template and style, and the writing of it."""
