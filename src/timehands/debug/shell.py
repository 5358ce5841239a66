"""``timehands debug --shell``: a prompt at a guest that stands still.

Each command is a method ``do_NAME``; the first line of its docstring is its help, of the form
``name ARGUMENTS: what it does``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Final, TextIO, TypeVar

from timehands.boot import Prepared, open_recording
from timehands.clocks.cpuid.layouts import Registers as Leaf
from timehands.debug import words
from timehands.debug.completion import complete, last_word
from timehands.debug.listing import (
    MOST_INSTRUCTIONS,
    function_around,
    instructions,
    source_lines,
)
from timehands.debug.prompt import Lines, lines_of
from timehands.debug.request import Break, Debugging
from timehands.debug.session import Session, debugging
from timehands.errors import TimehandsError, UsageError
from timehands.kernels.memory import Unreadable
from timehands.kernels.unwind import Backtrace
from timehands.reports.plain import harmless
from timehands.watch.stops import Placed, Stop, View, parse
from timehands.watch.stops.steering import (
    answer_cpuid,
    ask_cpuid,
    ask_msr,
    ask_tsc,
    describe_leaf,
    hold,
    jump_tsc,
    set_value,
    skip,
)

T = TypeVar("T")
PROMPT: Final = "timehands> "
_ALIASES: Final = {
    "b": "break", "w": "watch", "p": "print", "bt": "backtrace", "c": "continue", "r": "registers",
    "s": "step", "si": "step", "stepi": "step", "x": "memory", "l": "list", "d": "delete",
    "h": "help", "q": "quit", "exit": "quit", "run": "continue", "where": "backtrace",
    "disas": "disassemble", "fin": "finish",
}  # fmt: skip
_GENERAL: Final = ("rip", "rsp", "rbp", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10",
                   "r11", "r12", "r13", "r14", "r15", "eflags", "cr0", "cr3", "cr4")  # fmt: skip
_MOST_MEMORY: Final = 4096
_MOST_SYMBOLS: Final = 100
#: gdb's ``x/4i PLACE``, ``x/16xb PLACE``: how many, of what, how large.
_EXAMINE: Final = re.compile(r"/(\d{0,4})([a-z]{0,2})\s+(.+)")
_UNITS: Final = {"b": 1, "h": 2, "w": 4, "g": 8}
Command = Callable[[str], Awaitable[None]]


def run_shell(prepared: Prepared, asked: Debugging) -> None:
    """Boot, and take commands from standard input until there are no more."""
    asyncio.run(_run(prepared, asked))


async def _run(prepared: Prepared, asked: Debugging) -> None:
    async with debugging(prepared, asked) as session:
        shell = Shell(session, sys.stdout)
        await shell.serve(lines_of(sys.stdin, shell.endings))
    outcome = open_recording(session.folder).report.story.outcome
    shell.say(f"{outcome.text}\nrecording: {session.folder}")


class Shell:
    """Takes one command after the other. ``out`` is where the answers go."""

    def __init__(self, session: Session, out: TextIO) -> None:
        self._session = session
        self._stops = session.stops
        self._out = out
        self._frame = 0
        self._quit = False
        self._answers: dict[int, Leaf] = {}
        self._answering: Placed | None = None

    async def serve(self, lines: Lines) -> None:
        """Take lines until there are no more, or ``quit``."""
        self.say("the guest stands before its first instruction; help lists the commands")
        for note in self._session.notes:
            self.say(note)
        while not self._quit:
            try:
                text = await lines.line(PROMPT)
            except KeyboardInterrupt:
                continue
            if text is None:
                return
            await self.execute(text)

    async def execute(self, text: str) -> None:
        """One command. What is wrong with it is said; the shell goes on."""
        name, rest = _split(text.strip())
        if not name or name.startswith("#"):
            return
        command = self._command(name)
        if command is None:
            self.say(f"there is no command {name!r}: help lists them")
            return
        try:
            await command(rest.strip())
        except (TimehandsError, Unreadable) as error:
            self.say(str(error))

    def say(self, text: str) -> None:
        """Lines for the reader; what a guest says is made harmless."""
        for line in text.split("\n"):
            print(harmless(line), file=self._out, flush=True)

    def endings(self, text: str) -> tuple[list[str], int]:
        """How the last word of a line may go on, and how many of its characters are there."""
        return complete(text, self._offline_view(), self.commands()), len(last_word(text))

    def commands(self) -> list[str]:
        """The names of the commands."""
        return [name.removeprefix("do_") for name in dir(self) if name.startswith("do_")]

    def _command(self, name: str) -> Command | None:
        name = _ALIASES.get(name, name)
        fits = [one for one in self.commands() if one == name]
        fits = fits or [one for one in self.commands() if one.startswith(name)]
        if len(fits) != 1:
            return None
        found: Command = getattr(self, f"do_{fits[0]}")
        return found

    # ---- where to stop

    async def do_break(self, rest: str) -> None:
        """break PLACE [if EXPRESSION]: stop there: tc_init, file.c:547, cpuid 0x15, out 0x43"""
        await self._place(rest)

    async def do_watch(self, rest: str) -> None:
        """watch VARIABLE [if EXPRESSION]: stop when it is written"""
        await self._place(f"write of {rest}")

    async def _place(self, text: str) -> None:
        placed = await self._session.add(Break(parse(text)))
        self.say(self._described(placed))

    async def do_breakpoints(self, _rest: str) -> None:
        """breakpoints: what is stopped at, how often it was hit, and what is done there"""
        for placed in self._stops.placed:
            self.say(self._described(placed))
        if not self._stops.placed:
            self.say("nothing is stopped at: break, watch")

    async def do_info(self, rest: str) -> None:
        """info breakpoints | registers | symbol ADDRESS | source: as gdb has it"""
        what, _, more = rest.partition(" ")
        ways = {
            "breakpoints": self.do_breakpoints, "watchpoints": self.do_breakpoints,
            "registers": self.do_registers, "symbol": self.do_symbols, "source": self.do_list,
            "stack": self.do_backtrace,
        }  # fmt: skip
        found = [way for name, way in ways.items() if what and name.startswith(what)]
        if not found:
            raise UsageError(f"info {' | '.join(ways)}")
        await found[0](more.strip())

    async def do_delete(self, rest: str) -> None:
        """delete NUMBER...: stop there no more"""
        for word in rest.split():
            found = [p for p in self._stops.placed if str(p.number) == word]
            if not found:
                raise UsageError(f"there is no {word}: breakpoints shows what there is")
            await self._stops.drop(found[0])
            self._session.breaks.pop(found[0], None)

    def _described(self, placed: Placed) -> str:
        want = placed.want
        condition = f" if {want.condition}" if want.condition else ""
        site = placed.sites[0]
        places = f"{len(placed.sites)} places" if placed.sites[1:] else f"{site.point.address:#x}"
        note = f" ({placed.note})" if placed.note else ""
        refused = f" (not everywhere: {placed.refused})" if placed.refused else ""
        times = "once" if placed.hits == 1 else f"{placed.hits:,} times"
        hits = f", hit {times}" if placed.hits else ""
        return f"{placed.number}  {want.text}{condition}: {places}{hits}{note}{refused}"

    # ---- going on

    async def do_continue(self, rest: str) -> None:
        """continue [N]: go on to the next stop, or to the Nth; Ctrl-C stops the guest"""
        for _ in range(self._number(rest, 1)):
            if not await self._go_on():
                return

    async def _go_on(self) -> bool:
        if self._session.reason:
            raise UsageError(f"the boot is over: {words.over(self._session.reason)}")
        self._frame = 0
        with self._stopped_by_key():
            stop = await self._session.next()
        if stop is None:
            await self._show_end()
            return False
        await self._show(stop)
        return True

    async def do_step(self, rest: str) -> None:
        """step [N]: execute one instruction, or N"""
        if self._session.reason:
            raise UsageError(f"the boot is over: {words.over(self._session.reason)}")
        self._frame = 0
        stop = None
        for _ in range(self._number(rest, 1)):
            stop = await self._stops.step()
        if stop is None:
            self.say("it waits for an interrupt: continue")
        else:
            await self._show(stop)

    async def do_finish(self, _rest: str) -> None:
        """finish: go on until the function returns, and show what"""
        frames = [one for one in await self._stops.see(_trace(self._frame + 32)) if not one.inlined]
        inner, outer = frames[:2] if len(frames) > 1 else (None, None)
        if inner is None or outer is None or inner.cfa is None or outer.guess:
            raise UsageError("it is not known where this function returns to")
        place = parse(f"{outer.pc:#x} if $rsp == {inner.cfa:#x}", most=1)
        want = replace(place, text=f"{inner.name or 'it'} has returned")
        placed = await self._session.add(Break(want, prints=("$rax",)))
        try:
            await self._go_on()
        finally:
            if not self._session.reason:
                await self._stops.drop(placed)
            self._session.breaks.pop(placed, None)

    async def _show(self, stop: Stop) -> None:
        self.say(words.heading(stop, self._session.guest.started_ns))
        seen = await self._session.attend(stop)
        for line in words.details(stop, seen):
            self.say(f"{words.INDENT}{line}")

    async def _show_end(self) -> None:
        self.say(f"the boot is over: {words.over(self._session.reason)}")
        with contextlib.suppress(TimehandsError):
            if self._stops.running:
                await self._stops.interrupt()
            if self._stops.stop is not None:
                self.say(f"it stands in {self._stops.stop.where}; look at it, or quit")

    @contextlib.contextmanager
    def _stopped_by_key(self) -> Iterator[None]:
        """While the guest runs Ctrl-C stops the guest, not us."""
        loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        try:
            loop.add_signal_handler(
                signal.SIGINT, lambda: tasks.add(loop.create_task(self._stops.halt()))
            )
        except (ValueError, RuntimeError, NotImplementedError):  # not in the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    # ---- looking

    async def do_print(self, rest: str) -> None:
        """print EXPRESSION: the value of a C expression: tc->tc_name, cpu_feature & CPUID_TSC"""
        text = await self._see(lambda view: view.value(rest).format(3, 32))
        if self._frame == 0 and self._stops.stop is not None:
            self._stops.stop.entry.values[rest] = text
        self.say(f"{rest} = {text}")

    async def do_backtrace(self, rest: str) -> None:
        """backtrace [N]: who called what is under way, at most N frames"""
        most = self._number(rest, 32)
        stop = self._stops.stop
        trace = await (stop.backtrace(most) if stop else self._stops.see(_trace(most)))
        for number, frame in enumerate(trace):
            mark = "*" if number == self._frame else " "
            self.say(f"{mark}#{number:<2} {words.frame_words(frame)}")
        if trace.ended:
            self.say(f"    ({trace.ended})")

    async def do_up(self, rest: str) -> None:
        """up [N]: look at the caller"""
        await self._move(self._number(rest, 1))

    async def do_down(self, rest: str) -> None:
        """down [N]: look at the function that was called"""
        await self._move(-self._number(rest, 1))

    async def _move(self, by: int) -> None:
        wanted = max(0, self._frame + by)
        frames = await self._stops.see(lambda view: view.backtrace(wanted + 1))
        if len(frames) <= wanted:
            raise UsageError(f"there is no frame {wanted}: {frames.ended}")
        self._frame = wanted
        self.say(f"#{wanted:<2} {words.frame_words(frames[wanted])}")

    async def do_list(self, _rest: str) -> None:
        """list: the source around the place looked at, where it is on this host, else the code"""
        if self._stops.stop is None:
            raise UsageError("the guest has not run yet: break, continue")
        source = await self._see(lambda view: view.source)
        lines = source_lines(source) if source is not None else []
        if not lines:
            if source is not None:
                self.say(f"{source} is not on this host: this is the code")
            await self._show_code(await self._see(lambda view: view.pc), 10)
        for line in lines:
            self.say(line)

    async def do_disassemble(self, rest: str) -> None:
        """disassemble [EXPRESSION]: the function there, or where the guest is; also x/8i PLACE"""
        place = rest or "$rip"
        address = await self._see(lambda view: _address(view, place))
        start, end = function_around(self._stops.kernel, address)
        await self._show_code(start, MOST_INSTRUCTIONS, end)

    async def _show_code(self, start: int, most: int, until: int | None = None) -> None:
        for line in await self._stops.see(lambda view: instructions(view, start, most, until)):
            self.say(line)

    async def do_registers(self, rest: str) -> None:
        """registers [NAME...]: the general ones, or those named"""
        registers = await self._stops.client.registers()
        names = rest.split() or [name for name in _GENERAL if name in registers]
        for name in names:
            if name not in registers:
                raise UsageError(f"there is no register {name}")
        rows = [f"{name:>6} {registers[name]:#018x}" for name in names]
        for at in range(0, len(rows), 3):
            self.say("  ".join(rows[at : at + 3]))

    async def do_memory(self, rest: str) -> None:
        """memory EXPRESSION [, LENGTH]: bytes at an address (64); gdb's x/16xb, x/8i do too"""
        if found := _EXAMINE.fullmatch(rest):
            count, kind, expression = int(found[1] or 1), found[2], found[3]
            if "i" in kind:
                start = await self._see(lambda view: _address(view, expression))
                await self._show_code(start, count)
                return
            size = next((_UNITS[one] for one in kind if one in _UNITS), 8)
            rest = f"{expression}, {max(1, count) * size}"
        place, comma, length = rest.rpartition(",")
        size = self._number(length.strip(), 64) if comma else 64
        if size > _MOST_MEMORY:
            raise UsageError(f"at most {_MOST_MEMORY} bytes are shown at once")
        expression = place if comma else rest
        address = await self._see(lambda view: _address(view, expression))
        data = await self._stops.see(lambda view: view.memory.read(address, size))
        for at in range(0, len(data), 16):
            row = data[at : at + 16]
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
            self.say(f"{address + at:#018x}  {row.hex(' '):<47}  {text}")

    async def do_symbols(self, rest: str) -> None:
        """symbols PATTERN or ADDRESS: what is called so, or lies there"""
        if rest.startswith("0x"):
            place = self._stops.kernel.symbols.find(self._number(rest, 0))
            self.say(f"{place.name}+{place.offset:#x}" if place else "no symbol covers that")
            return
        found = self._stops.kernel.symbols.match(rest or "*")
        for symbol in found[:_MOST_SYMBOLS]:
            self.say(f"{symbol.address:#018x} {symbol.type} {symbol.name}")
        more = len(found) - _MOST_SYMBOLS
        self.say(f"... and {more:,} more" if more > 0 else f"{len(found)} symbols")

    # ---- changing

    async def do_set(self, rest: str) -> None:
        """set ASSIGNMENT: change a variable, a register, memory: tsc_freq = 1, $rax = 0"""
        self.say(f"we set {(await set_value(self._stops, rest)).what}")

    async def do_skip(self, rest: str) -> None:
        """skip [VALUE]: leave out the function at whose beginning the guest stands"""
        self.say(f"we {(await skip(self._stops, self._number(rest, None))).what}")

    async def do_cpuid(self, rest: str) -> None:
        """cpuid LEAF=EAX,EBX,ECX,EDX: answer that leaf from now on"""
        leaf, _, registers = rest.partition("=")
        values = [self._number(one.strip(), 0) for one in registers.split(",")]
        if len(values) != 4:
            raise UsageError("give LEAF=EAX,EBX,ECX,EDX")
        self._answers[self._number(leaf.strip(), 0)] = Leaf(*values)
        action = answer_cpuid(self._answers)
        if self._answering is None:
            self._answering = await self._stops.place(parse("cpuid"), action=action)
        self._answering.action = action

    async def do_ask(self, rest: str) -> None:
        """ask cpuid LEAF [SUBLEAF] | msr NUMBER | tsc: execute it inside the guest"""
        match rest.split():
            case ["cpuid", leaf, *more] if len(more) < 2:
                number = self._number(leaf, 0)
                found = await ask_cpuid(self._stops, number, self._number(" ".join(more), 0))
                self.say(f"cpuid {number:#x}: {describe_leaf(number, found)}")
            case ["msr", msr]:
                self.say(f"MSR {msr}: {await ask_msr(self._stops, self._number(msr, 0)):#x}")
            case ["tsc"]:
                self.say(f"TSC: {await ask_tsc(self._stops)}")
            case _:
                raise UsageError("ask cpuid LEAF [SUBLEAF], ask msr NUMBER, or ask tsc")

    async def do_hold(self, rest: str) -> None:
        """hold SECONDS: let the guest stand still for so long"""
        try:
            seconds = float(rest)
        except ValueError:
            raise UsageError("give seconds: hold 0.5") from None
        self.say(f"we {(await hold(self._stops, seconds)).what}")

    async def do_jump(self, rest: str) -> None:
        """jump TICKS: set the guest's TSC forward, where the machine can"""
        self.say(f"we made it jump: {(await jump_tsc(self._stops, self._number(rest, 0))).what}")

    # ---- the shell itself

    async def do_help(self, rest: str) -> None:
        """help [COMMAND]: this"""
        names = [rest] if rest else self.commands()
        for name in names:
            command = self._command(name)
            self.say(inspect.getdoc(command) or "" if command else f"there is no command {name!r}")

    async def do_quit(self, _rest: str) -> None:
        """quit: end the guest and the shell"""
        self._quit = True

    # ---- details

    async def _see(self, look: Callable[[View], T]) -> T:
        frame = self._frame
        return await self._stops.see(lambda view: look(view.caller(frame)))

    def _offline_view(self) -> View:
        kernel = self._stops.kernel
        pc = self._stops.stop.pc if self._stops.stop else 0
        registers = {**dict.fromkeys(_GENERAL, 0), "rip": pc}
        return View(kernel, registers, kernel.file_memory, self._stops.constants, 0)

    def _number(self, text: str, default: T) -> int | T:
        """A number as C writes it; the default for nothing. Raises `UsageError`."""
        if not text:
            return default
        try:
            return int(text, 0)
        except ValueError:
            raise UsageError(f"{text!r} is no number") from None


def _split(text: str) -> tuple[str, str]:
    """A command's name and what follows; ``x/4i $rip`` is the command x."""
    found = re.match(r"[^\s/]*", text)
    name = found[0] if found else ""
    return name, text[len(name) :].strip()


def _trace(most: int) -> Callable[[View], Backtrace]:
    return lambda view: view.backtrace(most)


def _address(view: View, expression: str) -> int:
    """Where an expression points: an array's or a structure's own place, else its number."""
    value = view.value(expression)
    try:
        return int(value)
    except TimehandsError:
        if value.address is None:
            raise
        return value.address
