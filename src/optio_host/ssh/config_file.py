"""What ~/.ssh/config says of one host: read as `ssh` reads it, except that nothing in it is ever run.

`ProxyCommand`, `KnownHostsCommand` and `Match exec` run programs of whoever wrote the file. A line that would decide
who is reached, and that is not done here, is an error with its place. The language is that of ssh_config(5).
"""

import glob
import os
import re
import shlex
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..errors import TEMPORARY, ConnectFailed
from .config_rules import GATHERED, PASSED_OVER, REFUSED, SINGLE, is_harmless

SYSTEM_DIRECTORY = "/etc/ssh"
_DEEPEST_INCLUDE = 16
_LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Value:
    """The arguments of a directive, and where it stands.

    Attributes:
        words: at least one.
        place: file and line, for messages.
    """

    words: tuple[str, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Directives:
    """What a configuration says of one host.

    Attributes:
        single: by lower-case name.
        gathered: likewise, in the order of the file.
    """

    single: dict[str, Value]
    gathered: dict[str, tuple[Value, ...]]

    def word(self, name: str) -> str | None:
        """The first word of a directive, or None."""
        value = self.single.get(name)
        return None if value is None else value.words[0]


def default_files() -> tuple[str, ...]:
    """The files that `ssh` reads, the user's own first."""
    return (os.path.expanduser("~/.ssh/config"), f"{SYSTEM_DIRECTORY}/ssh_config")


def read_directives(
    host: str,
    user: str,
    local_user: str,
    files: Sequence[str] | None = None,
    decided: Collection[str] = (),
) -> Directives:
    """What the configuration says of a host.

    Parameters:
        host: as the caller named it.
        user: the login name that the caller chose, or "".
        local_user: the name of this user here.
        files: in the order of their say; they must exist. None: `default_files()`, each if it is there.
        decided: lower-case names of directives in whose place the caller has decided; they are passed over.

    Raises ConnectFailed, final, naming file and line: one that cannot be read or understood, one that others can
    write, or a directive that is not supported and decides who is reached.
    """
    reader = _Reader(host, user, local_user, set(decided))
    for path in default_files() if files is None else files:
        if files is None and not os.path.exists(path):
            continue
        reader.read(path, applies=_YES, depth=0)
    return Directives(reader.single, {name: tuple(values) for name, values in reader.gathered.items()})


@dataclass(frozen=True, slots=True)
class _Applies:
    """Whether lines count for the host: they do, they do not, or it hangs on a condition that is not judged here."""

    yes: bool
    unknown: str = ""


_YES, _NO = _Applies(True), _Applies(False)


@dataclass
class _Reader:
    host: str
    user: str
    local_user: str
    settled: set[str]
    single: dict[str, Value] = field(default_factory=dict)
    gathered: dict[str, list[Value]] = field(default_factory=dict)
    unknown_allowed: list[str] = field(default_factory=list)

    def fail(self, place: str, reason: str, *, final: bool = True) -> ConnectFailed:
        return ConnectFailed(self.host, "ssh configuration", f"{place}: {reason}", final=final)

    def read(self, path: str, *, applies: _Applies, depth: int) -> None:
        outer = applies
        for number, line in enumerate(self._lines(path), 1):
            place = f"{path} line {number}"
            keyword, rest = _split_keyword(line)
            if not keyword:
                continue
            if keyword in ("host", "match"):
                # A block in a file that is included under an unknown condition is under that condition too.
                words = self._words(rest, place)
                applies = _both(outer, self._host(words) if keyword == "host" else self._match(words, place))
            elif not applies.yes and not applies.unknown:
                continue
            elif keyword == "include":
                for included in self._included(self._words(rest, place), path):
                    if depth == _DEEPEST_INCLUDE:
                        raise self.fail(place, "files that include files, more than 16 deep")
                    self.read(included, applies=applies, depth=depth + 1)
            else:
                self._directive(keyword, rest, applies, place)

    def _lines(self, path: str) -> list[str]:
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                text = file.read(_LARGEST_FILE + 1).decode(errors="surrogateescape")
        except OSError as error:
            final = error.errno not in TEMPORARY
            raise self.fail(path, f"cannot be read: {error.strerror}", final=final) from error
        if len(text) > _LARGEST_FILE:
            raise self.fail(path, f"larger than {_LARGEST_FILE} bytes")
        if status.st_uid not in (0, os.getuid()) or (stat.S_ISREG(status.st_mode) and status.st_mode & 0o022):
            raise self.fail(path, "others can write to it, so it says nothing reliable; chmod go-w, and own it")
        return text.split("\n")

    def _words(self, rest: str, place: str) -> list[str]:
        # ssh takes a backslash for itself before all else (DOMAIN\user), a shell takes it away.
        kept = re.sub(r"\\(.?)", lambda found: found[0] if found[1] and found[1] in "\\'\" " else "\\" + found[0], rest)
        try:
            words = shlex.split(kept)
        except ValueError as error:
            raise self.fail(place, f"quotes do not match: {error}") from None
        comment = next((index for index, word in enumerate(words) if word.startswith("#")), len(words))
        if not words[:comment]:
            raise self.fail(place, "a value is missing")
        return words[:comment]

    def _included(self, patterns: list[str], path: str) -> list[str]:
        system = path.startswith(SYSTEM_DIRECTORY + "/")
        directory = SYSTEM_DIRECTORY if system else os.path.expanduser("~/.ssh")
        return [
            found
            for pattern in patterns
            for found in sorted(glob.glob(os.path.join(directory, os.path.expanduser(pattern))))
        ]

    def _host(self, patterns: list[str]) -> _Applies:
        return _YES if matches(patterns, self.host) else _NO

    def _match(self, words: list[str], place: str) -> _Applies:
        unknown = ""
        rest = iter(words)
        for word in rest:
            criterion, equals, given = word.partition("=")
            negated = criterion.startswith("!")
            criterion = criterion.lstrip("!").lower()
            if criterion == "all":
                met: bool | None = True
            elif criterion in ("canonical", "final"):
                # Names are not made canonical here; "final" asks for a second reading, which is not done.
                met = False if criterion == "canonical" else None
            else:
                argument = given if equals else next(rest, None)
                if argument is None:
                    raise self.fail(place, f"Match {criterion}: a value is missing")
                met = self._criterion(criterion, argument)
            if met is None:
                unknown = f"Match {criterion}"
            elif met == negated:
                return _NO
        return _Applies(False, unknown) if unknown else _YES

    def _criterion(self, criterion: str, argument: str) -> bool | None:
        names = {
            "host": self._now("hostname") or self.host,
            "originalhost": self.host,
            "user": self.user or self._now("user") or self.local_user,
            "localuser": self.local_user,
        }
        return matches(argument.split(","), names[criterion]) if criterion in names else None

    def _now(self, name: str) -> str:
        value = self.single.get(name)
        return "" if value is None else value.words[0].replace("%h", self.host)

    def _directive(self, keyword: str, rest: str, applies: _Applies, place: str) -> None:
        if keyword == "ignoreunknown":
            self.unknown_allowed.extend(rest.lower().replace(",", " ").split())
        if keyword in PASSED_OVER or keyword in self.settled:
            return
        if keyword in REFUSED:
            # What follows may be a command line, which need not be readable as words.
            if not is_harmless(keyword, rest.strip('" ')):
                raise self.fail(place, f"{keyword} is not supported: {REFUSED[keyword]}{_said_by(applies)}")
            if applies.yes:
                self._settle(keyword)
            return
        if keyword not in SINGLE and keyword not in GATHERED:
            if matches(self.unknown_allowed, keyword):
                return
            raise self.fail(place, f"unknown directive {keyword!r}; if it may be passed over: IgnoreUnknown {keyword}")
        if applies.unknown:
            raise self.fail(
                place,
                f"whether {keyword} counts hangs on {applies.unknown}, which is not judged here (exec would run a "
                "program); put it into a Host block, or give config_files",
            )
        value = Value(tuple(self._words(rest, place)), place)
        if keyword in SINGLE:
            self.single[keyword] = value
            self._settle(keyword)
        else:
            self.gathered.setdefault(keyword, []).append(value)

    def _settle(self, keyword: str) -> None:
        # ssh_config(5): whichever of these two comes first keeps the other from counting.
        self.settled |= {"proxyjump", "proxycommand"} if keyword in ("proxyjump", "proxycommand") else {keyword}


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether one of the patterns fits and none of those with a leading ! does. `*` is any text, `?` any character."""
    fits = False
    for pattern in patterns:
        # Sets of characters mean nothing here. fnmatch does not try each star again for each of the others.
        if fnmatchcase(name, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            fits = True
    return fits


def _split_keyword(line: str) -> tuple[str, str]:
    # "Keyword value", "Keyword=value" and "Keyword = value" are the same.
    found = re.fullmatch(r"\s*([^\s=#\"]+)(?:\s*=\s*|\s+|$)(.*?)\s*", line, re.DOTALL)
    return (found[1].lower(), found[2]) if found else ("", "")


def _both(outer: _Applies, inner: _Applies) -> _Applies:
    if not inner.yes and not inner.unknown:
        return _NO
    unknown = outer.unknown or inner.unknown
    return _Applies(not unknown, unknown)


def _said_by(applies: _Applies) -> str:
    return f" (it may count: that hangs on {applies.unknown}, which is not judged here)" if applies.unknown else ""
