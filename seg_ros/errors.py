"""The one exception type for what a user, a file or a topic did wrong."""

from __future__ import annotations


class SegRosError(Exception):
    """Something outside the program is wrong.

    The message is one line and says what was wrong, in which file or topic, and what to do about
    it. Command line tools print it and exit with 1; the node logs it and lives on.
    """
