"""Is everything in its place: relay, upstream, LiteLLM, markers, clocks, disk. What `wsproxy doctor` finds, as data."""
