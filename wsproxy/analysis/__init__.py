"""Pure functions of recordings: what messages mean, whether a recording is exact. No files, no rendering."""
