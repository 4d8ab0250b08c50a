"""What can have gone wrong with a stream: the table of causes, and the checks that find them in a course."""
