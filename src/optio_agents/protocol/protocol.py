"""One choice of features, and everything that follows from it: the parser, the text, the browser launchers."""

from dataclasses import dataclass

from optio_host.host import Host

from .events import LogEvent
from .features import BrowserMode, ProtocolFeatures
from .parser import parse_log_line
from .prompt import DEFAULT_DELIVERABLES_DIR, DEFAULT_LOG_PATH, build_log_channel_prompt


@dataclass(frozen=True)
class Protocol:
    """The log channel of one session; made by `get_protocol`.

    Attributes:
        features: which optional keywords are on.
        documentation: the block that teaches an agent exactly these features.
    """

    features: ProtocolFeatures
    documentation: str

    @property
    def browser(self) -> BrowserMode:
        """What becomes of a program that wants to open a browser."""
        return self.features.browser

    def parse_log_line(self, line: str) -> LogEvent:
        """What one line says with these features; see `parser.parse_log_line`."""
        return parse_log_line(line, features=self.features)

    async def prepare_browser_shims(self, host: Host) -> dict[str, str] | None:
        """Put this mode's launchers on a host; see `browser_shims.prepare_browser_shims`."""
        from ..browser_shims import prepare_browser_shims

        return await prepare_browser_shims(host, self.browser)


def get_protocol(
    *,
    browser: BrowserMode = "ignore",
    client_messages: bool = False,
    caller_messages: bool = False,
    log_path: str = DEFAULT_LOG_PATH,
    deliverables_dir: str = DEFAULT_DELIVERABLES_DIR,
    replies_path: str | None = None,
    replies: bool = True,
) -> Protocol:
    """The protocol with these features.

    Parameters:
        browser: "ignore", "suppress" or "redirect"; see `BrowserMode`.
        client_messages: turn CLIENT_MESSAGE on.
        caller_messages: turn CALLER_MESSAGE on.
        log_path, deliverables_dir, replies_path, replies: what the documentation names; see
            `prompt.build_log_channel_prompt`. They do not change where anything is.

    Raises ValueError for another browser mode.
    """
    features = ProtocolFeatures(browser, client_messages, caller_messages)
    documentation = build_log_channel_prompt(
        features, log_path=log_path, deliverables_dir=deliverables_dir, replies_path=replies_path, replies=replies
    )
    return Protocol(features, documentation)
