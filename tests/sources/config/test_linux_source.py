"""A real Linux with a real .config: what we say is compiled, against the objects that make names.

It takes about 25 s of processor time, most of it to unpack, and 700 MB of disk until it ends.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import linux_source
from linux_source import Named
from timehands.sources.config import Configuration, asking, resolve
from timehands.sources.tree import SourceTree

_ENDING = re.compile(r"(\.c_shipped|\.[^./]*)$")
_MODULE = re.compile(r"the module (\S+)\.ko$")


@pytest.fixture
def linux(tmp_path: Path) -> Iterator[Path]:
    """A tree that is removed again at once: pytest would keep it."""
    source, config = linux_source.archive(), linux_source.dot_config()
    tree = tmp_path / "linux"
    tree.mkdir()
    try:
        linux_source.unpack(source, tree)
        linux_source.configure(tree, config)
        yield tree
    finally:
        shutil.rmtree(tree)


def objects_of(kernel: Configuration) -> dict[str, str]:
    """Each object, and the file that it is made from (the object itself, if the build makes it)."""
    return {_ENDING.sub(".o", file): file for file in kernel.files}


def module_of(kernel: Configuration, file: str) -> set[str]:
    """The module that a file is for, if it is for one."""
    return set(_MODULE.findall(kernel.why(file).note))


def is_another_program_s(tree: SourceTree, kernel: Configuration, named: Named, name: str) -> bool:
    """Whether an object is linked neither into the kernel nor into a module.

    So it is with those of the vDSO, of the real-mode trampoline, of kexec's purgatory and of the
    boot stub, which their makefiles link by rules of their own. Then we say that the configuration
    does not decide it (or that the file is compiled for the kernel, as well).
    """
    if name in named.linked:
        return False
    (answer,) = asking.why(tree, kernel, named.sources[name])[1]
    return answer.compiled or not answer.known


def test_what_is_compiled_is_what_make_names(linux: Path) -> None:
    named = linux_source.objects(linux)
    tree = SourceTree.open(linux)
    kernel = resolve(tree, ".config")
    ours = objects_of(kernel)
    assert len(named.sources) > 4000
    assert sorted(set(ours) - set(named.sources)) == []
    more = sorted(set(named.sources) - set(ours))
    assert [name for name in more if not is_another_program_s(tree, kernel, named, name)] == []
    assert len(more) < 100
    modules = {name: module_of(kernel, file) for name, file in ours.items()}
    wrong = [name for name in ours if not modules[name] <= named.modules.get(name, set())]
    assert wrong == []
    assert [name for name in named.modules if name in ours and not modules[name]] == []
    assert [name for name in ours if name not in named.linked] == []
    assert kernel.complaints == ()
