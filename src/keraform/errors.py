"""The errors that a user can act on, and the three parts that their messages have."""

from __future__ import annotations


def explain(expected: str, got: str, next_step: str) -> str:
    """Puts the three parts of an error's message together.

    Args:
        expected: What would have been right.
        got: What came instead (name, shape, dtype, file and line).
        next_step: The literal call or command to try next.

    Returns:
        The message, one part a line.
    """
    return f"expected: {expected}\ngot: {got}\ntry: {next_step}"


class KeraformError(Exception):
    """A mistake in what the user asked for or handed over.

    The command line shows the message without a traceback and ends with code 2. Raise it with the
    three parts, or with one finished message:

        raise KeraformError(expected="a config.json", got="an empty /tmp/x", try_next="ls /tmp/x")

    Args:
        message: The finished message, where the parts are not given.
        expected: What would have been right.
        got: What came instead.
        try_next: The literal call or command to try next.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        expected: str | None = None,
        got: str | None = None,
        try_next: str | None = None,
    ) -> None:
        if message is None:
            message = explain(expected or "", got or "", try_next or "keraform --help")
        super().__init__(message)
        self.expected = expected
        self.got = got
        self.try_next = try_next
