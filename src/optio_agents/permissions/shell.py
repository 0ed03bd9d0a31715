"""What a shell would run for a command, as far as that can be known. Pure."""

import unicodedata
from functools import lru_cache

from .shell_plain import NotPlain, read_plain
from .shell_variables import NO_VARIABLES, Variables
from .shell_words import Script, Unclear

LONGEST = 4_000
"""Characters of a command that is read at all. The time that the grammar needs grows with their square."""

_HIDDEN = {"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"}


@lru_cache(maxsize=64)  # what is decided on is read twice: its paths are to be resolved in between
def read(text: str, variables: Variables = NO_VARIABLES) -> Script:
    """The commands in it, and what is unclear about them. Whatever the text is, this raises nothing.

    Parameters:
        text: a script.
        variables: the variables that stand for their values.

    Nothing is unclear only when the grammar and the plain reading both understand all of it, and see the same.
    """
    # Loading the grammar takes a while, and most of what is done here never judges a command.
    from .shell_tree import read_tree

    if len(text) > LONGEST:
        return Script((), (Unclear("", f"it is longer than {LONGEST} characters"),))
    script = read_tree(text, variables)
    unclear = list(script.unclear)
    for hidden in sorted({each for each in text if _is_hidden(each)}):
        unclear.append(Unclear(f"U+{ord(hidden):04X}", "a character that cannot be seen"))
    if not unclear:
        try:
            plain = read_plain(text, variables)
        except NotPlain as error:
            unclear.append(Unclear(text, str(error)))
        else:
            if plain != script.commands:
                unclear.append(Unclear(text, "it can be read in two ways"))
    return Script(script.commands, tuple(unclear))


def _is_hidden(character: str) -> bool:
    if character in "\t\n" or " " <= character <= "~":
        return False
    category = unicodedata.category(character)
    return category in _HIDDEN or category == "Zs"
