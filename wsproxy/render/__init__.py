"""Everything that a terminal shows. Nothing here reads files."""
