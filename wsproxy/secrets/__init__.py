"""What must not be seen: which strings are secrets, how they are masked, and recordings without them."""
