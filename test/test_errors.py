"""An error message is one line, whatever it quotes."""

import pytest

from seg_ros.errors import SegRosError


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("/image", "/image"),
        ("Straße 7", "Straße 7"),
        ("a\nb\r\x1b[2J\x00", r"a\nb\r\x1b[2J\x00"),
        ("\u202egnp.exe\ud800", r"\u202egnp.exe\ud800"),
    ],
)
def test_what_is_quoted_cannot_break_the_line(quoted, shown):
    assert str(SegRosError(f"topic {quoted} is none")) == f"topic {shown} is none"


def test_what_is_too_long_keeps_its_beginning_and_its_end():
    text = str(SegRosError("/some/file: " + "x" * 10**6 + "; write it anew"))
    assert len(text) < 1100
    assert text.startswith("/some/file: xxx")
    assert text.endswith("xxx; write it anew")
