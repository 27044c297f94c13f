"""What `recurrax sweep` does: one script, every combination of the values given, several programs side by side."""
