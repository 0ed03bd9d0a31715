"""What becomes of a deliverable or a caller message: the callback is called, and the agent gets exactly one answer."""

from dataclasses import dataclass

from optio_host.clock import Clock
from optio_host.errors import FileRefused
from optio_host.host import Host

from ..context import HookContext
from ..process_context import ProcessContext, tell
from . import replies
from .callbacks import CallerMessageCallback, DeliverableCallback, call, within
from .deliverables import deliverable_name, fetch_deliverable_text
from .events import CallerMessageEvent
from .limits import DriverLimits


@dataclass(frozen=True)
class Receiver:
    """What both kinds of answers need.

    Attributes:
        ctx: where is reported what the person should know.
        hook_ctx: what the callbacks get.
        answers_arrive: the agent can be told something.
    """

    host: Host
    ctx: ProcessContext
    hook_ctx: HookContext
    answers_arrive: bool
    clock: Clock
    limits: DriverLimits

    def report(self, text: str) -> None:
        """Tell the person."""
        tell(self.ctx, None, text)

    def report_unheard(self, text: object) -> None:
        """Tell the person what a callback had to say to an agent that cannot hear it."""
        if not self.answers_arrive and isinstance(text, str) and text.strip() not in ("", "ok"):
            self.report(f"Not sent, this session has no channel to the agent: {text}")


class DeliverableAnswers:
    """Answers announced deliverables, which are given as the paths that were announced."""

    def __init__(self, receiver: Receiver, callback: DeliverableCallback | None) -> None:
        self._receiver = receiver
        self._callback = callback

    async def answer(self, path: str) -> str:
        """Fetch it, hand it to the callback, and return the reply. Never raises an Exception."""
        receiver = self._receiver
        name = deliverable_name(path, receiver.host.workdir)
        try:
            text = await within(receiver.clock, receiver.limits.fetch, fetch_deliverable_text(receiver.host, path))
        except UnicodeDecodeError:
            receiver.report(f"Deliverable refused: {name}: not UTF-8 text")
            return replies.deliverable_not_text(name)
        except FileNotFoundError:
            return self._refused(name, "no such file")
        except FileRefused as refused:
            return self._refused(name, refused.reason)
        except Exception as error:
            receiver.report(f"Deliverable not handled: {name}: not fetched: {type(error).__name__}: {error}")
            return replies.deliverable_not_handled(name, f"it could not be fetched ({type(error).__name__})")
        receiver.report(f"Deliverable: {name}")
        if self._callback is None:
            return replies.deliverable_accepted(name, None)
        try:
            said = await within(
                receiver.clock, receiver.limits.callback, call(self._callback, receiver.hook_ctx, name, text)
            )
        except Exception as error:
            receiver.report(f"Deliverable not handled: {name}: on_deliverable: {type(error).__name__}: {error}")
            return replies.deliverable_not_handled(name, f"its receiver failed ({type(error).__name__})")
        if not isinstance(said, str | None):
            receiver.report(f"Deliverable {name}: on_deliverable returned {type(said).__name__}, taken as accepted")
        receiver.report_unheard(said)
        return replies.deliverable_accepted(name, said)

    def not_answered(self, path: str, reason: str) -> str:
        """The reply to one that is not worked on."""
        name = deliverable_name(path, self._receiver.host.workdir)
        self._receiver.report(f"Deliverable not handled: {name}: {reason}")
        return replies.deliverable_not_handled(name, reason)

    def _refused(self, name: str, reason: str) -> str:
        self._receiver.report(f"Deliverable refused: {name}: {reason}")
        return replies.deliverable_refused(name, reason)


class CallerMessageAnswers:
    """Answers caller messages."""

    def __init__(self, receiver: Receiver, callback: CallerMessageCallback) -> None:
        self._receiver = receiver
        self._callback = callback

    async def answer(self, message: CallerMessageEvent) -> str | None:
        """Hand it to the callback; the reply, or None when there is nothing to say. Never raises an Exception."""
        receiver, word = self._receiver, message.keyword
        try:
            said = await within(
                receiver.clock, receiver.limits.callback, call(self._callback, receiver.hook_ctx, word, message.data)
            )
        except Exception as error:
            receiver.report(f"Message {word} not handled: on_caller_message: {type(error).__name__}: {error}")
            return replies.caller_message_not_handled(word, f"its receiver failed ({type(error).__name__})")
        if not isinstance(said, str | None):
            receiver.report(f"Message {word}: on_caller_message returned {type(said).__name__}, taken as no answer")
        receiver.report_unheard(said)
        return replies.caller_message_answered(word, said)

    def not_answered(self, message: CallerMessageEvent, reason: str) -> str:
        """The reply to one that is not worked on."""
        self._receiver.report(f"Message {message.keyword} not handled: {reason}")
        return replies.caller_message_not_handled(message.keyword, reason)
