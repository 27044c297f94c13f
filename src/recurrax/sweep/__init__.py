"""What `recurrax sweep` does: one script, every combination of the values given, on Dask's workers."""
