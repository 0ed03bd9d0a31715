"""A dialogue with an agent: what every one offers, and Claude Code's. Names are loaded when they are used."""

from importlib import import_module
from typing import TYPE_CHECKING

from .contract import Conversation as Conversation
from .contract import ConversationClosed as ConversationClosed
from .contract import EventHandler as EventHandler
from .contract import MessageHandler as MessageHandler
from .contract import PermissionDecision as PermissionDecision
from .contract import PermissionHandler as PermissionHandler
from .contract import PermissionRequest as PermissionRequest
from .contract import Unsubscribe as Unsubscribe

if TYPE_CHECKING:
    from .claude import ClaudeCodeConversation as ClaudeCodeConversation
    from .claude_code import ClaudeCode as ClaudeCode
    from .open import open_conversation as open_conversation

_HOME_OF = {"ClaudeCode": "claude_code", "ClaudeCodeConversation": "claude", "open_conversation": "open"}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
