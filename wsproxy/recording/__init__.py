"""What a recording is: events as msgpack maps in an append-only file, how it is written, read and found.

`recordings/FORMAT.md` specifies the file for readers in other languages.
"""
