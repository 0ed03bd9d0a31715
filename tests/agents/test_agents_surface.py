"""Every published name is where task code imports it from, and importing the package stays cheap."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

import optio_agents
import optio_agents.protocol

BOTH = [
    "run_log_protocol_session",
    "fetch_deliverable_text",
    "AgentSender",
    "DeliverableCallback",
    "CallerMessageCallback",
    "HookCallback",
    "DELIVERABLE_QUEUE_BOUND",
    "CALLER_MESSAGE_QUEUE_BOUND",
    "parse_log_line",
    "StatusEvent",
    "DeliverableEvent",
    "DoneEvent",
    "ErrorEvent",
    "LogEvent",
    "UnknownLine",
    "validate_deliverable_path",
    "relativize_deliverable_path",
    "get_protocol",
    "Protocol",
    "ProtocolFeatures",
    "BrowserMode",
    "RESUME_NOTICE",
    "build_log_channel_prompt",
]
TOP = [
    *BOTH,
    "HookContext",
    "HookContextProtocol",
    "SYSTEM_MESSAGE_PREFIX",
    "Conversation",
    "ConversationClosed",
    "PermissionDecision",
    "PermissionRequest",
    "browser_shims",
    "seeds",
]
PROTOCOL = [
    *BOTH,
    "BrowserEvent",
    "AttentionEvent",
    "ClientMessageEvent",
    "CallerMessageEvent",
]
SEEDS = (
    "SeedManifest LEASE_TTL_SECONDS insert_seed load_seed list_seeds delete_seed purge_seed update_seed_blob "
    "declare_metadata assign_to_pool list_pool acquire renew_lease release mark_seed_status reap_expired_leases "
    "overwrite_seed_member capture_seed merge_seed refresh_seed plant_seed"
)
MODULES = {
    "protocol.parser": [
        "parse_log_line",
        "StatusEvent",
        "UnknownLine",
        "CallerMessageEvent",
        "LogEvent",
        "validate_deliverable_path",
        "relativize_deliverable_path",
    ],
    "protocol.prompt": ["LOG_CHANNEL_PROMPT", "RESUME_NOTICE", "build_log_channel_prompt"],
    "protocol.session": ["run_log_protocol_session", "_SessionFailed"],
    "protocol.features": ["BrowserMode", "ProtocolFeatures"],
    "protocol.protocol": ["Protocol", "get_protocol"],
    "context": ["HookContext", "HookContextProtocol", "SYSTEM_MESSAGE_PREFIX"],
    "conversation": [
        "Conversation",
        "ConversationClosed",
        "PermissionDecision",
        "PermissionRequest",
        "ClaudeCode",
        "ClaudeCodeConversation",
        "open_conversation",
    ],
    "prompt": ["compose_agents_md", "downloadables_block", "BASE_PROMPT_POST"],
    "browser_shims": ["prepare_browser_shims"],
    "seeds": SEEDS.split(),
}
PARAMETERS = {
    "protocol.session.run_log_protocol_session": "host ctx body on_deliverable on_caller_message before_execute "
    "after_execute protocol browser_url_rewrite agent_sender prepare keywords",
    "protocol.session.fetch_deliverable_text": "host absolute_path",
    "browser_shims.prepare_browser_shims": "host browser",
    "prompt.compose_agents_md": "documentation resume_section",
    "seeds.SeedManifest": "home_subdir include version consume_transform",
    "seeds.insert_seed": "db prefix suffix blob_id manifest_version",
    "seeds.load_seed": "db prefix suffix seed_id",
    "seeds.list_seeds": "db prefix suffix",
    "seeds.delete_seed": "db prefix suffix seed_id",
    "seeds.purge_seed": "db prefix suffix seed_id",
    "seeds.update_seed_blob": "db prefix suffix seed_id new_blob_id",
    "seeds.declare_metadata": "db prefix suffix seed_id metadata",
    "seeds.assign_to_pool": "db prefix suffix seed_id poolKey",
    "seeds.list_pool": "db prefix suffix poolKey",
    "seeds.acquire": "db prefix suffix poolKey holder",
    "seeds.renew_lease": "db prefix suffix seed_id holder",
    "seeds.release": "db prefix suffix seed_id holder",
    "seeds.mark_seed_status": "db prefix suffix seed_id status",
    "seeds.reap_expired_leases": "db prefix suffix",
    "seeds.overwrite_seed_member": "db prefix suffix seed_id member_path content encrypt decrypt",
    "seeds.capture_seed": "ctx host manifest suffix encrypt",
    "seeds.merge_seed": "ctx host seed_id manifest suffix decrypt",
    "seeds.refresh_seed": "ctx host seed_id manifest suffix encrypt decrypt",
    "seeds.plant_seed": "db host prefix seed_id manifest suffix decrypt",
}


@pytest.mark.parametrize("name", TOP)
def test_the_package_has_the_published_name(name: str) -> None:
    assert name in dir(optio_agents)
    assert getattr(optio_agents, name) is not None


@pytest.mark.parametrize("name", PROTOCOL)
def test_the_protocol_has_the_published_name(name: str) -> None:
    assert name in dir(optio_agents.protocol)
    assert getattr(optio_agents.protocol, name) is not None


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in MODULES.items() for name in names])
def test_the_module_has_the_published_name(module: str, name: str) -> None:
    assert hasattr(import_module(f"optio_agents.{module}"), name)


@pytest.mark.parametrize(("name", "published"), PARAMETERS.items())
def test_it_takes_the_published_parameters(name: str, published: str) -> None:
    module, _, function = name.rpartition(".")
    parameters = inspect.signature(getattr(import_module(f"optio_agents.{module}"), function)).parameters
    names = published.split()
    assert [each for each in parameters if each in names] == names
    # What is ours comes behind, and can be left out.
    more = [each for each in parameters.values() if each.name not in names]
    assert all(each.default is not each.empty or each.kind is each.VAR_POSITIONAL for each in more)


def test_the_published_constants() -> None:
    assert optio_agents.SYSTEM_MESSAGE_PREFIX == "System: "
    assert optio_agents.RESUME_NOTICE == "you have been resumed"
    assert optio_agents.DELIVERABLE_QUEUE_BOUND == optio_agents.CALLER_MESSAGE_QUEUE_BOUND == 64


def test_an_unknown_name_is_an_attribute_error() -> None:
    for package in (optio_agents, optio_agents.protocol):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            package.nothing  # noqa: B018


def test_importing_the_packages_loads_nothing() -> None:
    code = "import sys, optio_agents, optio_agents.protocol; print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    loaded = set(shown.split())
    assert not loaded & {
        "anyio",
        "asyncio",
        "asyncssh",
        "pydantic",
        "motor",
        "click",
        "rich",
        "watchfiles",
        "optio_core",
    }
    assert "optio_agents.protocol.parser" not in loaded
