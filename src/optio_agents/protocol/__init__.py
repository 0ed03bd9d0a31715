"""The log channel: its language, and the driver that follows it. Names are loaded when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .events import AttentionEvent as AttentionEvent
    from .events import BrowserEvent as BrowserEvent
    from .events import CallerMessageEvent as CallerMessageEvent
    from .events import ClientMessageEvent as ClientMessageEvent
    from .events import DeliverableEvent as DeliverableEvent
    from .events import DoneEvent as DoneEvent
    from .events import ErrorEvent as ErrorEvent
    from .events import LogEvent as LogEvent
    from .events import OverlongLine as OverlongLine
    from .events import StatusEvent as StatusEvent
    from .events import UnknownLine as UnknownLine
    from .features import BrowserMode as BrowserMode
    from .features import ProtocolFeatures as ProtocolFeatures
    from .parser import parse_log_bytes as parse_log_bytes
    from .parser import parse_log_line as parse_log_line
    from .paths import relativize_deliverable_path as relativize_deliverable_path
    from .paths import validate_deliverable_path as validate_deliverable_path
    from .prompt import LOG_CHANNEL_PROMPT as LOG_CHANNEL_PROMPT
    from .prompt import RESUME_NOTICE as RESUME_NOTICE
    from .prompt import build_log_channel_prompt as build_log_channel_prompt
    from .protocol import Protocol as Protocol
    from .protocol import get_protocol as get_protocol
    from .replies import SYSTEM_MESSAGE_PREFIX as SYSTEM_MESSAGE_PREFIX
    from .session import CALLER_MESSAGE_QUEUE_BOUND as CALLER_MESSAGE_QUEUE_BOUND
    from .session import DELIVERABLE_QUEUE_BOUND as DELIVERABLE_QUEUE_BOUND
    from .session import AgentSender as AgentSender
    from .session import CallerMessageCallback as CallerMessageCallback
    from .session import DeliverableCallback as DeliverableCallback
    from .session import HookCallback as HookCallback
    from .session import fetch_deliverable_text as fetch_deliverable_text
    from .session import run_log_protocol_session as run_log_protocol_session

_HOME_OF = {
    "AgentSender": "session",
    "AttentionEvent": "events",
    "BrowserEvent": "events",
    "BrowserMode": "features",
    "CALLER_MESSAGE_QUEUE_BOUND": "session",
    "CallerMessageCallback": "session",
    "CallerMessageEvent": "events",
    "ClientMessageEvent": "events",
    "DELIVERABLE_QUEUE_BOUND": "session",
    "DeliverableCallback": "session",
    "DeliverableEvent": "events",
    "DoneEvent": "events",
    "ErrorEvent": "events",
    "HookCallback": "session",
    "LOG_CHANNEL_PROMPT": "prompt",
    "LogEvent": "events",
    "OverlongLine": "events",
    "Protocol": "protocol",
    "ProtocolFeatures": "features",
    "RESUME_NOTICE": "prompt",
    "SYSTEM_MESSAGE_PREFIX": "replies",
    "StatusEvent": "events",
    "UnknownLine": "events",
    "build_log_channel_prompt": "prompt",
    "fetch_deliverable_text": "session",
    "get_protocol": "protocol",
    "parse_log_bytes": "parser",
    "parse_log_line": "parser",
    "relativize_deliverable_path": "paths",
    "run_log_protocol_session": "session",
    "validate_deliverable_path": "paths",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
