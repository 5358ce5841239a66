"""Where a shell's lines come from: a terminal with completion and history, or any other stream."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TextIO

from timehands.machines.cache import cache_folder

#: A line is no longer than this.
MAX_LINE: Final = 4096
Complete = Callable[[str], tuple[list[str], int]]


class Lines(Protocol):
    """Gives one line after the other."""

    async def line(self, prompt: str) -> str | None:
        """The next line; None when there is no more. Raises KeyboardInterrupt on Ctrl-C."""


class StreamLines:
    """Lines of a file or a pipe. What is read is shown, so that the output can be followed."""

    def __init__(self, stream: TextIO, shown: TextIO) -> None:
        self._stream = stream
        self._shown = shown

    async def line(self, prompt: str) -> str | None:
        """See `Lines.line`."""
        text = self._stream.readline(MAX_LINE)
        if not text:
            return None
        print(f"{prompt}{text.rstrip()}", file=self._shown, flush=True)
        return text.rstrip("\n")


class TerminalLines:
    """Lines from a person at a terminal; the history is kept in the cache."""

    def __init__(self, complete: Complete) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import Completer, Completion
        from prompt_toolkit.history import FileHistory

        class Names(Completer):
            def get_completions(self, document: Any, complete_event: Any) -> Iterator[Completion]:
                del complete_event
                found, length = complete(document.text_before_cursor)
                return (Completion(name, start_position=-length) for name in found)

        history = FileHistory(str(cache_folder("debug") / "history"))
        self._session: PromptSession[str] = PromptSession(
            history=history, completer=Names(), complete_while_typing=False
        )

    async def line(self, prompt: str) -> str | None:
        """See `Lines.line`."""
        try:
            return await self._session.prompt_async(prompt)
        except EOFError:
            return None


def lines_of(stream: TextIO, complete: Complete) -> Lines:
    """The lines of standard input, whatever it is."""
    if stream.isatty() and sys.stdout.isatty():
        return TerminalLines(complete)
    return StreamLines(stream, sys.stdout)
