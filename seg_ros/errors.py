"""The one exception type for what a user, a file or a topic did wrong."""

from __future__ import annotations

_LONGEST = 1000
"""Characters of a message; what a file or a topic says of itself may have any length."""


def as_line(text: str) -> str:
    """Return a message as one line in any terminal and log, of bounded length.

    What it quotes may come from anybody: control characters are escaped, and the middle of what is
    too long is left out.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST * 2 // 3]} ... {text[-_LONGEST // 3 :]}"
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


class SegRosError(Exception):
    """Something outside the program is wrong.

    The message is one line and says what was wrong, in which file or topic, and what to do about
    it, see :func:`as_line`. Command line tools print it and exit with 1; the node logs it and lives
    on.
    """

    def __str__(self) -> str:
        return as_line(super().__str__())
