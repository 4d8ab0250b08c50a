"""`one_run.py COMMAND...`: run it, pass its outputs on, and tell as the last line of standard error what it cost, as JSON.

A process of its own because a child's peak of memory counts from the fork, when the child is still a copy of its parent: this one is small.
"""

import json
import os
import resource
import sys
import time

start = time.monotonic()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status = os.waitpid(pid, 0)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(
    json.dumps(
        {
            "wall": time.monotonic() - start,
            "cpu": used.ru_utime + used.ru_stime,
            "mib": used.ru_maxrss / 1024,
            "status": os.waitstatus_to_exitcode(status),
        }
    ),
    file=sys.stderr,
)
