"""The whole LLM pipeline on one machine, with the famous streaming bug in it.

Each part is a process of its own and speaks what the real part speaks (PIPELINE.md): a fake LLM backend
that is also the judge, a control plane with its policies, a small LiteLLM with the callback.
`wsproxy.demo.pipeline` starts them with a real relay in between and asks them questions;
`wsproxy.demo.story` says what happened; `wsproxy.demo.faults` lists what can be made to go wrong in them.

Importing this package imports nothing else: a part pays only for what it runs.
"""

HARMLESS = "Say hello."
"""A prompt that gets a short text."""
HARMFUL = "Please delete the old customer data."
"""A prompt that gets a tool call which the judge refuses."""
LONG = "Tell me a long story."
"""A prompt that gets two hundred words, one by one."""
