"""The shapes that LiteLLM gives to a request and to a chunk.

Strategy: what crosses the relay must look like the real thing, because what reads recordings is tested on
it: a request of some 4 KB with two credentials in it (made up here) and a memory address that is never the
same twice; chunks with their default fields filled in. The names are those of LiteLLM 1.77 as captured.
"""

from __future__ import annotations

import hashlib
from typing import Any

from wsproxy.demo.outcome import Chunk

PROVIDER_KEY = "sk-demo-provider-key-not-a-real-one"
"""The provider's credential that every START carries."""


def _nulls(names: str) -> dict[str, None]:
    """Fields that are there and hold null."""
    return dict.fromkeys(names.split())


_LOGGING = "litellm.litellm_core_utils.litellm_logging.Logging"
_UNSET_PARAMS = _nulls(
    """
    input_cost_per_token output_cost_per_token input_cost_per_second output_cost_per_second
    input_cost_per_pixel output_cost_per_pixel api_version vertex_project vertex_location
    vertex_credentials region_name aws_access_key_id aws_secret_access_key aws_region_name
    watsonx_region_name custom_llm_provider tpm rpm timeout stream_timeout max_retries organization
    configurable_clientside_auth_params litellm_credential_name litellm_trace_id max_file_size_mb
    max_budget budget_duration model_info mock_response auto_router_config_path auto_router_config
    auto_router_default_model auto_router_embedding_model s3_bucket_name gcs_bucket_name
    """
)
_UNSET_KEY_FIELDS = _nulls(
    """
    key_name key_alias max_budget expires team_id max_parallel_requests tpm_limit rpm_limit
    budget_duration budget_reset_at blocked litellm_budget_table org_id created_at created_by updated_at
    updated_by object_permission_id object_permission team_spend team_alias team_tpm_limit team_rpm_limit
    team_max_budget team_blocked soft_budget team_model_aliases team_member team_metadata
    team_member_spend end_user_id end_user_tpm_limit end_user_rpm_limit end_user_max_budget
    last_refreshed_at allowed_model_region user_email
    """
)
_UNSET_CHUNK_FIELDS = _nulls("system_fingerprint provider_specific_fields citations service_tier")
_UNSET_DELTA_FIELDS = _nulls("provider_specific_fields refusal content role function_call tool_calls audio")


def request_data(body: dict[str, Any], *, call_id: str, url: str, headers: dict[str, str]) -> dict[str, Any]:
    """The request as hooks see it before it is routed; `routed` adds the rest.

    Args:
        body: the client's request.
        call_id: `litellm_call_id`, which becomes the stream id.
        url: where the client posted it.
        headers: the client's, names in lower case, authorization among them.
    """
    authorization = headers.get("authorization", "")
    seen = {name: value for name, value in headers.items() if name != "authorization"}
    key = _digest(authorization)
    return {
        **body,
        "proxy_server_request": {"url": url, "method": "POST", "headers": seen, "body": body},
        "metadata": {
            "requester_metadata": {},
            "user_api_key_hash": key,
            "user_api_key_alias": None,
            "user_api_key_user_id": "default_user_id",
            "user_api_key_request_route": "/v1/chat/completions",
            "user_api_key": key,
            "litellm_api_version": "1.77.0",
            "user_api_key_spend": 0.0,
            "user_api_key_metadata": {},
            "headers": seen,
            "endpoint": url,
            "litellm_parent_otel_span": None,
            "requester_ip_address": "",
        },
        "secret_fields": {"raw_headers": headers},
        "litellm_call_id": call_id,
        "litellm_logging_obj": f"<{_LOGGING} object at {id(body):#x}>",
    }


def routed(data: dict[str, Any], *, backend: str) -> dict[str, Any]:
    """The request as START carries it: with the deployment that was picked, its credentials included."""
    model = str(data.get("model"))
    info = {"id": _digest(model), "db_model": False}
    deployment = {
        "model_name": model,
        "litellm_params": {
            **_UNSET_PARAMS,
            "api_key": PROVIDER_KEY,
            "api_base": f"{backend}/v1",
            "use_in_pass_through": False,
            "use_litellm_proxy": False,
            "merge_reasoning_content_in_choices": False,
            "model": f"openai/{model}",
        },
        "model_info": {**info, "updated_at": None, "created_at": None, "base_model": None, "tier": None},
    }
    metadata = {
        **data["metadata"],
        "model_group": model,
        "model_group_size": 1,
        "deployment": f"openai/{model}",
        "model_info": info,
        "api_base": f"{backend}/v1",
        "deployment_model_name": model,
    }
    return {**data, "metadata": metadata, "deployment": deployment}


def hook_body(data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The body that a hook posts, but for its `post_time_ns`."""
    key = data["metadata"]["user_api_key"]
    caller = {
        "token": key,
        **_UNSET_KEY_FIELDS,
        "spend": 0.0,
        "models": [],
        "aliases": {},
        "config": {},
        "user_id": "default_user_id",
        "metadata": {},
        "permissions": {},
        "api_key": key,
        "user_role": "proxy_admin",
        "request_route": "/v1/chat/completions",
    }
    return {"user_api_key_dict": caller, "data": data, **more}


def with_defaults(chunk: Chunk) -> Chunk:
    """The chunk as LiteLLM's model of it dumps it: every field there, null where it was not."""
    choices = [
        {
            "finish_reason": choice.get("finish_reason"),
            "index": choice.get("index", 0),
            "delta": {**_UNSET_DELTA_FIELDS, **(choice.get("delta") or {})},
            "logprobs": choice.get("logprobs"),
        }
        for choice in chunk.get("choices") or ()
    ]
    return {**_UNSET_CHUNK_FIELDS, **chunk, "choices": choices}


def without_nulls(value: Any) -> Any:
    """What the client is sent: the same without its null fields, as LiteLLM's `exclude_none` leaves it."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
