"""Every published name is where task code imports it from, and importing the package stays cheap."""

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
]
PROTOCOL = [
    *BOTH,
    "BrowserEvent",
    "AttentionEvent",
    "ClientMessageEvent",
    "CallerMessageEvent",
]
MODULES = {
    "protocol.parser": ["parse_log_line", "StatusEvent", "UnknownLine", "CallerMessageEvent", "LogEvent"],
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
    "prompt": ["compose_agents_md", "downloadables_block"],
    "browser_shims": ["prepare_browser_shims"],
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
