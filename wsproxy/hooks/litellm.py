"""Steps 1 and 6 without touching any code: two entries for the `callbacks:` list of LiteLLM's YAML.

    litellm_settings:
      callbacks: ["wsproxy.hooks.litellm.before", "my_callback.instance", "wsproxy.hooks.litellm.after"]

LiteLLM 1.77 looks for every entry in a file beside the config and never among installed modules. There (it works with
1.106 as well) put a file `wsproxy_hooks.py` beside the config,

    from wsproxy.hooks.litellm import after, before

and write `callbacks: ["wsproxy_hooks.before", "my_callback.instance", "wsproxy_hooks.after"]`.

Strategy: LiteLLM nests the streaming iterator hooks in the order of the list, the first nearest the backend. So `before`
sees what the pipeline's own callback gets, and `after` what it yields. Both hand the stream on as it is (see `streams`);
every other hook is LiteLLM's own, which does nothing. The stream's id is `litellm_call_id`.

The only module here that imports something heavy, and only LiteLLM itself ever imports it. Without LiteLLM it can be
imported too, and does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsproxy import stages

from . import marks
from .messages import summary
from .streams import ChunkMarks, ObservedStream, Observer, Totals, failed, is_stream

if TYPE_CHECKING:
    CustomLogger = object
else:
    try:
        from litellm.integrations.custom_logger import CustomLogger
    except Exception:  # no LiteLLM, or one that cannot be imported: that is not ours to report
        CustomLogger = object


class Before(CustomLogger):
    """Marks `callback.backend_chunk`: what the callbacks after it in the list are given."""

    # LiteLLM 1.106 asks for this name in the class itself, not in its bases.
    def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> Any:
        """The response as it is, each chunk marked when the next callback takes it."""
        return _observed(response, request_data, lambda stream_id: ChunkMarks(stream_id, stages.CALLBACK_BACKEND_CHUNK))


class After(CustomLogger):
    """Marks `client.to_client` and `callback.invoked .yielded .completed .failed`: what the callbacks before it do."""

    def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> Any:
        """The response as it is, each chunk marked when LiteLLM takes it for the client."""
        return _observed(response, request_data, lambda stream_id: _Outside(stream_id, summary(request_data)))


class _Outside(Observer):
    """The pipeline's callback, seen from where its chunks come out."""

    def __init__(self, stream_id: str, request: dict[str, object]) -> None:
        self._stream_id = stream_id
        self._request = request
        self._chunks = ChunkMarks(stream_id, stages.CLIENT_TO_CLIENT, stages.CALLBACK_YIELDED)
        self._totals = Totals()

    def begun(self) -> None:
        self._totals = Totals()
        invoked = {"function": "async_post_call_streaming_iterator_hook", "request": self._request}
        marks.record(self._stream_id, stages.CALLBACK_INVOKED, None, invoked)

    def passed(self, item: Any) -> None:
        self._chunks.passed(item)

    def ended(self, error: BaseException | None) -> None:
        stage = stages.CALLBACK_FAILED if failed(error) else stages.CALLBACK_COMPLETED
        said = {"yielded": self._chunks.count, **self._totals.ending(error)}
        marks.record(self._stream_id, stage, None, said)


def _observed(response: Any, request_data: Any, observer: Any) -> Any:
    """The response with an observer, or the response."""
    try:
        stream_id = request_data.get("litellm_call_id")
        if not is_stream(response):
            return response
        watching = observer(stream_id) if stream_id and marks.enabled() else Observer()
        # 1.106 puts each hook between layers that it closes itself, in its order, and closes what a hook returns too:
        # going on from there to the layer within, as `aclose` of that layer would, is what no other hook does.
        return ObservedStream(response, watching, closes=type(response).__name__ != "_UpstreamStreamBoundary")
    except Exception:
        return response


before = Before()
after = After()
