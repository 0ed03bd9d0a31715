r"""What a program says, made safe to show: nothing in it can move the cursor, change colours or turn text around.

>>> visible("fine\x1b[2J \u202egnp.exe")
'fine\\x1b[2J \\u202egnp.exe'
"""

import re
import unicodedata

# Marks that make text read in another order than it stands in (Unicode Annex 9), and other invisible format marks, are
# category Cf; controls are Cc, line and paragraph separators Zl and Zp, halves of surrogate pairs Cs.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_DOUBTFUL = re.compile("[^ -~]")


def visible(text: str) -> str:
    """The text with every control character and invisible mark written as an escape; a tab becomes a blank."""
    # Python's own notion of printable text leaves out more than is hidden here, and never less.
    return text if text.isprintable() else _DOUBTFUL.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    if character == "\t":
        return " "
    if unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("ascii", "backslashreplace").decode() if character > "\x7f" else f"\\x{ord(character):02x}"


def span(seconds: float) -> str:
    """A length of time for a person: 12 s, 5 min, 3 h, 4 d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def size(count: int) -> str:
    """A number of bytes for a person: 512 B, 1.2 kB, 34 MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError(count)
