"""Run by gdb: walks through a program, each instruction with its registers, stack and backtrace."""

import json
from pathlib import Path

import gdb

REGISTERS = ("rip", "rsp", "rbp", "rbx", "r12", "r13", "r14", "r15")
MOST = 2000


def _backtrace(frame):
    while frame is not None:
        if frame.type() != gdb.TAILCALL_FRAME:  # gdb's guess at what left by a jump
            yield frame.type() == gdb.NORMAL_FRAME, frame.pc(), frame.name(), frame.find_sal().line
        frame = frame.older()


def _walk():
    for _ in range(MOST):
        frame = gdb.newest_frame()
        registers = {name: int(frame.read_register(name)) % (1 << 64) for name in REGISTERS}
        stack = gdb.selected_inferior().read_memory(registers["rsp"], 1024).tobytes().hex()
        frames = list(_backtrace(frame))
        pcs = [pc for normal, pc, _, _ in frames if normal]  # inlined functions have no frame
        places = [(name, line) for _, _, name, line in frames]
        yield {"registers": registers, "stack": stack, "pcs": pcs, "places": places}
        gdb.execute("stepi", to_string=True)
        if not gdb.selected_inferior().pid:
            return


for command in ("set backtrace past-main on", "set disable-randomization on", "break main", "run"):
    gdb.execute(command, to_string=True)
Path("steps.json").write_text(json.dumps(list(_walk())))
