"""The published types of a conversation."""

import dataclasses

import pytest

from optio_agents.conversation import Conversation, ConversationClosed, PermissionDecision, PermissionRequest


class Complete:
    closed = False

    async def send(self, text: str) -> None: ...
    def on_event(self, handler: object) -> None: ...
    def on_message(self, handler: object) -> None: ...
    def on_permission_request(self, handler: object) -> None: ...
    def is_pending(self) -> bool:
        return False

    async def interrupt(self) -> None: ...
    async def close(self) -> None: ...


def test_a_conversation_is_recognised_by_its_methods() -> None:
    assert isinstance(Complete(), Conversation)
    assert not isinstance(object(), Conversation)


def test_permission_values_cannot_be_changed_and_have_their_defaults() -> None:
    decision = PermissionDecision("deny")
    assert (decision.updated_input, decision.message, decision.interrupt) == (None, None, False)
    request = PermissionRequest("Bash", {"command": "ls"}, {})
    for value in (decision, request):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.message = "x"  # type: ignore[misc, union-attr]


def test_the_end_of_a_conversation_is_an_exception() -> None:
    assert issubclass(ConversationClosed, Exception)
