"""A chat at a terminal: the agent's words as they come, what it does, and the place where the person types."""

from threading import RLock

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType

from ..conversation.events import (
    AgentLimit,
    AgentRetry,
    AgentUnparsed,
    ConversationEvent,
    QuestionAnswered,
    QuestionWithdrawn,
    TurnQueued,
)
from ..conversation.messages import (
    Fed,
    Message,
    Partial,
    Spoke,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    TurnResult,
)
from ..events import Record, SessionEnded, SessionStarted
from .said import said
from .said_by_agent import in_words
from .view import View
from .visible import visible

RESULT_LINES = 3
"""Lines that are shown of what a tool gave back."""

LONGEST_LINE = 300
"""Characters that are shown of such a line, and of a thought."""

QUESTIONS = ("AskUserQuestion", "ExitPlanMode")
"""Tools that are nothing but a question, which is shown when it is asked."""

_TOLD = AgentLimit | AgentRetry | AgentUnparsed | QuestionAnswered | QuestionWithdrawn
"""Events of the conversation that its output does not show, or not as well."""


class ChatView(View):
    """The screen of one chat.

    Parameters:
        me: who types here, as the journal has it.
    """

    def __init__(self, me: str) -> None:
        self._me = me
        self._screen = Console(highlight=False)
        self._lock = RLock()  # events, output and prompts come from threads of their own
        self._prompt = ""
        self._prompt_stands = False
        self._streaming = False
        self._within_line = False

    def show(self, record: Record) -> None:
        """Show what happens beside the words of the agent."""
        event = record.event
        match event:
            case TurnQueued(_, text, sender) if sender != self._me:
                self._line(f"{visible(sender)}: {_lines(text)}", "bold")
            case QuestionAnswered(by=self._me) | SessionStarted() | SessionEnded():
                pass
            case _ if isinstance(event, _TOLD) or not isinstance(event, ConversationEvent):
                self._line(said(record, verbose=False), "yellow")
            case _:
                pass

    def history(self, records: list[Record]) -> None:
        """Show what was said before this."""
        for record in records:
            match record.event:
                case TurnQueued(_, text, sender):
                    self._line(f"{visible(sender)}: {_lines(text)}", "dim")
                case SessionStarted():
                    pass
                case _:
                    self._line(said(record, verbose=False), "dim")

    def hear(self, message: Message) -> None:
        """Show what the agent says."""
        match message:
            case Partial("text", text, None) if text:
                self._words(text)
            case Spoke(api_error=str()):
                pass  # the end of the turn says it again
            case Spoke(blocks, parent):
                for block in blocks:
                    self._block(block, parent)
            case Fed(blocks):
                for block in blocks:
                    if isinstance(block, ToolResult):
                        self._result(block)
            case TurnResult():
                self._end_of_turn(message)
            case _:
                pass

    def note(self, text: str) -> None:
        """Say something that is no event."""
        self._line(text, "yellow")

    def prompt(self, words: str, prompt: str) -> None:
        """Show the words, and the place to type at."""
        if words:
            self._line(words, "bold yellow")
        with self._lock:
            self._erase_prompt()
            self._prompt = prompt
        self._end_line()

    def end_of_prompt(self) -> None:
        """Take it away; a line that was typed stays above it."""
        with self._lock:
            self._erase_prompt()
            self._prompt = ""

    def close(self) -> None:
        """Leave the cursor at the beginning of a line."""
        self.end_of_prompt()
        self._end_line()

    def _block(self, block: object, parent: str | None) -> None:
        who = "subagent: " if parent else ""
        match block:
            case Text() if self._streaming and not parent:
                self._streaming = False  # it was shown as it came
                self._end_line()
            case Text(text):
                self._line(f"{who}{_lines(text)}", None)
            case Thinking(text) if text:
                self._line(f"{who}thinking: {visible(text[:LONGEST_LINE])}", "dim")
            case ToolUse(name=name, input=tool_input) if name not in QUESTIONS:
                self._line(f"{who}{visible(name)}: {in_words(tool_input)}", "cyan")
            case _:
                pass

    def _result(self, result: ToolResult) -> None:
        lines = result.text.splitlines()
        shown = [f"  {visible(each[:LONGEST_LINE])}" for each in lines[:RESULT_LINES]]
        if len(lines) > RESULT_LINES:
            shown.append(f"  ... {len(lines) - RESULT_LINES} more lines")
        self._line("\n".join(shown) or None, "red" if result.is_error else "dim")

    def _end_of_turn(self, result: TurnResult) -> None:
        self._streaming = False  # a text that was cut off never comes whole
        if result.interrupted:
            self._line("interrupted", "yellow")
        elif result.is_error:
            why = result.text or "; ".join(result.errors)
            self._line(f"the turn failed ({visible(result.reason)}): {visible(why)}", "red")
        else:
            self._end_line()

    def _words(self, text: str) -> None:
        with self._lock:
            self._erase_prompt()
            shown = _lines(text)
            self._screen.print(shown, markup=False, soft_wrap=True, end="")
            self._within_line = not shown.endswith("\n")
            self._streaming = True

    def _line(self, text: str | None, style: str | None) -> None:
        if text is not None:
            with self._lock:
                self._erase_prompt()
                if self._within_line:
                    self._screen.print()
                    self._within_line = False
                self._screen.print(text, style=style, markup=False, soft_wrap=True)
                self._show_prompt()

    def _end_line(self) -> None:
        with self._lock:
            if self._within_line:
                self._screen.print()
                self._within_line = False
            self._show_prompt()

    def _erase_prompt(self) -> None:
        if self._prompt_stands:
            self._screen.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
            self._prompt_stands = False

    def _show_prompt(self) -> None:
        if self._prompt and not self._prompt_stands:
            self._screen.print(self._prompt, style="bold", markup=False, soft_wrap=True, end="")
            self._prompt_stands = True


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))
