"""What a driver adds to an agent: hooks that it calls, and tools that it may use. Names are loaded when used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .hooks import Hook as Hook
    from .hooks import PostToolUse as PostToolUse
    from .hooks import PostToolUseDecision as PostToolUseDecision
    from .hooks import PreToolUse as PreToolUse
    from .hooks import PreToolUseDecision as PreToolUseDecision
    from .hooks import Stop as Stop
    from .hooks import StopDecision as StopDecision
    from .hooks import UserPromptSubmit as UserPromptSubmit
    from .hooks import UserPromptSubmitDecision as UserPromptSubmitDecision
    from .hooks import post_tool_use as post_tool_use
    from .hooks import pre_tool_use as pre_tool_use
    from .hooks import stop as stop
    from .hooks import user_prompt_submit as user_prompt_submit
    from .tools import Tool as Tool
    from .tools import ToolContext as ToolContext
    from .tools import ToolFailed as ToolFailed
    from .tools import tool as tool

_HOME_OF = {
    "Hook": "hooks",
    "PostToolUse": "hooks",
    "PostToolUseDecision": "hooks",
    "PreToolUse": "hooks",
    "PreToolUseDecision": "hooks",
    "Stop": "hooks",
    "StopDecision": "hooks",
    "Tool": "tools",
    "ToolContext": "tools",
    "ToolFailed": "tools",
    "UserPromptSubmit": "hooks",
    "UserPromptSubmitDecision": "hooks",
    "post_tool_use": "hooks",
    "pre_tool_use": "hooks",
    "stop": "hooks",
    "tool": "tools",
    "user_prompt_submit": "hooks",
}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
