"""What other processes want of a conversation: the commands of its session's inbox, each carried out once."""

import uuid

from pydantic import JsonValue

from ..journal import Command, Question
from .claude import ClaudeCodeConversation
from .contract import ConversationClosed, PermissionDecision
from .questions import TooLate


async def carry_out(conversation: ClaudeCodeConversation, command: Command) -> str | None:
    """Do what a command says; its receipt is committed together with what it does.

    Returns why it is refused, for the receipt that the caller then writes; None: it is not.
    """
    try:
        match command.kind:
            case "send":
                return await _send(conversation, command)
            case "approve" | "deny":
                return await _answer(conversation, command)
            case "interrupt":
                await conversation.carry_out_interrupt(command.number)
                return None
            case "close":
                await conversation.carry_out_close(command.number)
                return None
            case _:
                return f"no such command: {command.kind}"
    except (ConversationClosed, ValueError, TypeError) as error:
        return str(error)


async def _send(conversation: ClaudeCodeConversation, command: Command) -> str | None:
    text = command.data.get("text")
    if not isinstance(text, str) or not text:
        return "there is no text to send"
    # By the id of the command: a driver that carries it out again sends it once.
    await conversation.send(text, turn_id=_turn_id(command), sender=_who(command), command=command.number)
    return None


async def _answer(conversation: ClaudeCodeConversation, command: Command) -> str | None:
    question = command.data.get("question")
    if not isinstance(question, str):
        return "it does not say which question is answered"
    settled = await conversation.answer(question, _decision(command), _who(command), command=command.number)
    return _too_late(settled.question) if isinstance(settled, TooLate) else None


def _decision(command: Command) -> PermissionDecision:
    if command.kind == "deny":
        message, stop = command.data.get("message"), command.data.get("stop", False)
        if not isinstance(stop, bool):
            raise ValueError("it does not say whether the turn is to end: stop is true or false")
        why = message if isinstance(message, str) and message else None
        return PermissionDecision("deny", message=why, interrupt=stop)
    always = command.data.get("always", False)
    if not isinstance(always, bool):
        raise ValueError("it does not say whether it always may: always is true or false")
    return PermissionDecision("allow", updated_input=_edited(command.data.get("input")), always=always)


def _edited(value: JsonValue) -> dict[str, object] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise ValueError("the input of a tool is an object")
    return dict(value)


def _too_late(question: Question | None) -> str:
    if question is None:
        return "there is no such question, or it was closed long ago"
    if question.answer is None:
        return "the agent does not wait for an answer any more"
    return f"too late: {question.answer.get('by')} has answered already ({question.answer.get('behavior')})"


def _who(command: Command) -> str:
    return command.sender or "somebody"


def _turn_id(command: Command) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, command.id))
