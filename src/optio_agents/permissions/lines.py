"""On which line of a TOML file something stands. Pure.

The TOML reader of Python does not tell. So this looks for what begins a table and a key, and says nothing rather than
something wrong: a file that writes its tables in another way has errors without lines.
"""

import re

_HEADER = re.compile(r"\s*\[")
_TABLE = re.compile(r"\s*\[\[\s*(\w+)\s*\]\]")
_TEXT_OF_LINES = re.compile(r'"""|' + "'''")


class Lines:
    """The lines of a policy file.

    Parameters:
        text: the file.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._tables: dict[str, list[int]] = {}
        # A text over several lines may hold anything, also what looks like a table.
        if not _TEXT_OF_LINES.search(text):
            for number, line in enumerate(self._lines, 1):
                if found := _TABLE.match(line):
                    self._tables.setdefault(found[1], []).append(number)

    def of(self, table: str, number: int) -> int | None:
        """The line on which the table of this name and this number, from 1, begins; None: not known."""
        known = self._tables.get(table, [])
        return known[number - 1] if number <= len(known) else None

    def problem(self, location: tuple[int | str, ...], what: str) -> tuple[int | None, str]:
        """A problem with something in the file: its line, and a text that names it.

        Parameters:
            location: the table, its number from 0, the key; or the key alone.
            what: what is the matter.
        """
        table, *rest = location or ("",)
        if rest and isinstance(rest[0], int):
            number = rest[0] + 1
            begins = self.of(str(table), number)
            key = str(rest[1]) if len(rest) > 1 else ""
            name = f"{table} {number}: {key}: {what}" if key else f"{table} {number}: {what}"
            return self._key(key, begins) if begins else None, name
        return self._key(str(table), 0) or None, f"{table}: {what}"

    def _key(self, key: str, begins: int) -> int:
        for number in range(begins, len(self._lines)):
            line = self._lines[number]
            if _HEADER.match(line):
                break
            if key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number + 1
        return begins
