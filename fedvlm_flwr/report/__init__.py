"""What people see of a run: progress while it goes on, tables and pictures afterwards."""
