"""Two recordings compared: what differs, where, and what only looks as if it did."""
