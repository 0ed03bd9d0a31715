"""The text that teaches an agent the log channel, built from the table that the parser reads."""

import shlex
import textwrap

from .features import DEFAULT_FEATURES, ProtocolFeatures
from .keywords import KEYWORDS
from .replies import SYSTEM_MESSAGE_PREFIX

DEFAULT_LOG_PATH = "./optio.log"
DEFAULT_DELIVERABLES_DIR = "./deliverables/"

RESUME_NOTICE = "you have been resumed"
"""What the harness says, behind `System: `, when an interrupted session goes on."""

_RESUMED = (
    "you were interrupted and go on now. Look at the state of your files first; processes that you had started may be "
    "gone."
)

_WIDTH = 98


def build_log_channel_prompt(
    features: ProtocolFeatures = DEFAULT_FEATURES,
    *,
    log_path: str = DEFAULT_LOG_PATH,
    deliverables_dir: str = DEFAULT_DELIVERABLES_DIR,
    replies_path: str | None = None,
    replies: bool = True,
) -> str:
    """The block for exactly these features, in Markdown.

    Parameters:
        features: which optional keywords are on; one that is off is not mentioned.
        log_path: how the agent names the log: a path, or `$OPTIO_LOG` where the environment holds it.
        deliverables_dir: how it names the directory of files to hand over.
        replies_path: a file that the agent reads replies from; None when they come as messages of the dialogue.
        replies: whether replies reach the agent at all. Without them it is not asked to wait for any.
    """
    deliverables = deliverables_dir.rstrip("/") + "/"
    sections = [
        _log_channel(features, log_path, deliverables),
        _deliverables(deliverables, replies),
        _messages(features, replies_path) if replies else _no_messages(),
    ]
    return "\n\n".join(sections) + "\n"


def _log_channel(features: ProtocolFeatures, log_path: str, deliverables: str) -> str:
    parts = [
        "## Log channel",
        _prose(
            f"A program, the harness, follows your work by reading the file `{log_path}`. Append your entries to it; "
            "never overwrite, truncate or replace it. One entry is one line of UTF-8 text. It begins at the first "
            "column with a keyword in capitals, and always ends in a newline: the harness takes a line only when its "
            "newline has arrived, so an entry without one is not seen and spoils the next. From a shell:"
        ),
        _fenced([f"printf '%s\\n' \"STATUS: 10% reading the code\" >> {_quoted(log_path)}"]),
        "The entries:",
    ]
    for keyword in KEYWORDS:
        if keyword.enabled(features):
            parts.append(_prose(f"`{keyword.word}` {keyword.meaning}"))
            parts.append(_fenced([example.replace("{deliverables}", deliverables) for example in keyword.examples]))
    parts.append(_prose("Any other line is shown as it is and does nothing. The first DONE or ERROR counts."))
    if features.browser == "suppress":
        parts.append(
            _prose(
                "No browser can be opened here; launchers such as xdg-open do nothing. If a person must visit an "
                "address, write it into an ATTENTION entry."
            )
        )
    return "\n\n".join(parts)


def _deliverables(deliverables: str, replies: bool) -> str:
    text = (
        f"Put every file that you hand over under `{deliverables}`, subdirectories included; only regular files there "
        "are taken. Announce a file only after it is final: written, closed, and not to be changed again, because it "
        "is fetched at once. Files that are not announced stay where they are."
    )
    if deliverables.startswith("$"):
        text += (
            f" `{deliverables.rstrip('/')}` is an environment variable with an absolute path: the line in the log "
            "must hold its value, which a shell puts there between double quotes."
        )
    if replies:
        text += (
            " Each announced file is acknowledged by one message. Before DONE, wait for the acknowledgement of each of "
            "them."
        )
    return f"## Deliverables\n\n{_prose(text)}"


def _messages(features: ProtocolFeatures, replies_path: str | None) -> str:
    if replies_path is None:
        where = "The harness answers with messages among those that you are sent."
    else:
        where = (
            f"The harness answers by appending lines to the file `{replies_path}`; read it from where you last stood, "
            "and look again after a second when an answer is still to come."
        )
    text = (
        f"{where} Its messages are one line and begin with `{SYSTEM_MESSAGE_PREFIX.strip()}`; what begins otherwise "
        "is not from the harness."
    )
    kinds = [(form, meaning) for keyword in KEYWORDS if keyword.enabled(features) for form, meaning in keyword.replies]
    kinds.append((RESUME_NOTICE, _RESUMED))
    bullets = "\n".join(
        textwrap.indent(_prose(f"`{SYSTEM_MESSAGE_PREFIX}{form}`: {meaning}"), "  ").replace("  ", "- ", 1)
        for form, meaning in kinds
    )
    return f"## Messages from the harness\n\n{_prose(text)}\n\n{bullets}"


def _no_messages() -> str:
    text = (
        f"Messages of the harness begin with `{SYSTEM_MESSAGE_PREFIX.strip()}`. In this session none can reach "
        "you: nothing that you write is answered."
    )
    return f"## Messages from the harness\n\n{_prose(text)}"


def _prose(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _fenced(lines: list[str]) -> str:
    return "\n".join(["```", *lines, "```"])


def _quoted(path: str) -> str:
    return f'"{path}"' if path.startswith("$") else shlex.quote(path)


LOG_CHANNEL_PROMPT = build_log_channel_prompt()
"""The block for the default features."""
