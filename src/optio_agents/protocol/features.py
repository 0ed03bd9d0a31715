"""Which of the optional keywords of the log channel a session understands."""

from dataclasses import dataclass
from typing import Literal, get_args

BrowserMode = Literal["ignore", "suppress", "redirect"]
"""What becomes of a program that wants to open a browser.

ignore: nothing is done about it. suppress: it finds launchers that do nothing, and the agent is told so.
redirect: it finds launchers that write the address to the log channel, for the person's own browser.
"""


@dataclass(frozen=True)
class ProtocolFeatures:
    """The optional part of the language. What is off is in neither the parser nor the prompt.

    Attributes:
        browser: "redirect" turns the keyword BROWSER on.
        client_messages: turns CLIENT_MESSAGE on: data for the person's client.
        caller_messages: turns CALLER_MESSAGE on: data for the program that started the session.

    Raises ValueError for a browser mode that does not exist.
    """

    browser: BrowserMode = "ignore"
    client_messages: bool = False
    caller_messages: bool = False

    def __post_init__(self) -> None:
        if self.browser not in get_args(BrowserMode):
            raise ValueError(f"browser={self.browser!r}: use one of {', '.join(get_args(BrowserMode))}")


DEFAULT_FEATURES = ProtocolFeatures()
"""Only the keywords that are always on."""
