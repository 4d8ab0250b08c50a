"""What wsproxy costs, beside its peers: `python -m tests.benchmarks` (see README.md in this folder)."""
