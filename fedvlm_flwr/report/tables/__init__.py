"""Tables of a report: what one holds, and a module for each form that it is written in."""
