"""The hooks where LiteLLM 1.77 finds them: beside its config, and never among installed modules. The bed copies this file."""

from wsproxy.hooks.litellm import after, before

__all__ = ["after", "before"]
