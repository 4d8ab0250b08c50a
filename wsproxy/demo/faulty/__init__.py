"""The faults themselves: for each part of the demo, what takes the place of its sound self when it is given `--fault NAME`.

Strategy: a room per part, and in each a table from the fault's name to a class or a function with the interface of the
sound one, mostly a subclass that does one thing differently. `wsproxy.demo.faults` is the list of all of them.
"""
