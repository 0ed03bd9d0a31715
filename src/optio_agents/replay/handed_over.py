"""What is in the files that the agent of an exported session has handed over: no export holds that."""

from collections.abc import Mapping, Sequence

from ..events import DeliverableLanded

Contents = Mapping[str, str | bytes | Sequence[str | bytes]]
"""What is in deliverables, by name: the same whenever it is handed over, or one for each time."""


class HandedOver:
    """What is in the deliverables, one after the other.

    Parameters:
        contents: of some of them; for each other one a line of text stands, which says so.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._times: dict[str, int] = dict.fromkeys(contents, 0)

    def content(self, landed: DeliverableLanded) -> tuple[str | bytes, str]:
        """The content, and what is different about it."""
        given = self._contents.get(landed.name)
        if given is None:
            stands = f"This stands for {landed.name} ({landed.size} bytes), which is not in the export.\n"
            return stands, "its content is not in the export; a line of text stands for it"
        self._times[landed.name] += 1
        if isinstance(given, str | bytes):
            return given, ""
        if self._times[landed.name] > len(given):
            raise ValueError(f"deliverables: {landed.name!r} was handed over more often than {len(given)} times")
        return given[self._times[landed.name] - 1], ""

    def check(self) -> None:
        """Whether all of them were needed. Raises ValueError."""
        for name, times in self._times.items():
            given = self._contents[name]
            if times == 0 or (not isinstance(given, str | bytes) and times < len(given)):
                raise ValueError(f"deliverables: {name!r} was handed over {times} times when this was recorded")
