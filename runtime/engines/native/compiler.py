"""LLVM IR → machine code in memory, remembered on disk.

An entry of the cache is named by the hash of all that decides what the code is: the IR, the processor's features, the
versions of llvmlite and LLVM. It begins with a hash of its name and content: a damaged entry, or one that belongs under
another name, is compiled anew. Entries are written beside and renamed, so that processes may compile the same thing at
once.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

from ...files import atomic_write
from .helpers import compile_shared
from .host import host

__all__ = ["Object", "address", "addresses", "cache_folder", "compiled", "linked", "setting"]

FORMAT = b"striate object 3\n"
DIGEST = 20
MOST = 96
"""Entries in each of the cache's 256 folders, some 100 MiB in all; the oldest go first."""
_lock = RLock()
_symbols: dict[str, int] = {}

if hasattr(os, "register_at_fork"):  # a child could not compile if another thread were doing so at that moment
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def address(name: str, ir: str) -> int:
    """The address of function `name` of a module given as text; equal texts are compiled once per process.

    Raises:
        RuntimeError: if LLVM refuses the text, which is a fault of whoever generated it.
    """
    return addresses([(name, ir)])[0]


def addresses(functions: Sequence[tuple[str, str]]) -> list[int]:
    """Like `address`, of several functions, which are compiled at the same time if the cache does not have them."""
    folder = cache_folder()
    keys = [_key(name, ir) for name, ir in functions]
    absent = [f for f, key in zip(functions, keys, strict=True) if key not in _symbols and not _is_stored(folder, key)]
    if len(absent) > 1 and _is_writable(folder):
        compile_shared(absent, compiled)
    with _lock:
        for (name, ir), key in zip(functions, keys, strict=True):
            if key not in _symbols:
                _symbols[key] = _link(compiled(name, ir))
        return [_symbols[key] for key in keys]


class Object(NamedTuple):
    """Machine code of one function, and the key that says what it was made of."""

    key: str
    name: str
    code: bytes


def compiled(name: str, ir: str) -> Object:
    """The machine code of function `name` of a module given as text: from the cache, or made and put there."""
    key = _key(name, ir)
    with _lock:
        code = _stored(key)
        if code is None:
            code = _compile(ir)
            _store(key, code)
    return Object(key, name, code)


def linked(function: Object) -> int:
    """The address of a function that was compiled before."""
    with _lock:
        if function.key not in _symbols:
            _symbols[function.key] = _link(function)
        return _symbols[function.key]


def cache_folder() -> Path | None:
    """Where compiled code is kept: STRIATE_CACHE, or the user's cache folder; None where that is switched off, or the
    user has no home."""
    given = os.environ.get("STRIATE_CACHE")
    if given is not None:
        return Path(given) if given else None
    variable, folders = _CACHES.get(sys.platform, ("XDG_CACHE_HOME", (".cache",)))
    base = os.environ.get(variable) if variable else None
    try:
        return (Path(base) if base else Path.home().joinpath(*folders)) / "striate"
    except RuntimeError:  # an account that no list of accounts has, as in containers
        return None


_CACHES: dict[str, tuple[str, tuple[str, ...]]] = {
    "win32": ("LOCALAPPDATA", ("AppData", "Local")),
    "darwin": ("", ("Library", "Caches")),
}
"""Platform → the variable that names the folder of all caches, and where it lies in the user's home without it."""


@cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=host().cpu, features=host().features, opt=3, jit=True, reloc="pic")


@cache
def setting() -> bytes:
    """All beside the IR that decides what the machine code is."""
    import llvmlite
    import llvmlite.binding as llvm

    parts = (FORMAT.decode(), llvmlite.__version__, str(llvm.llvm_version_info), llvm.get_process_triple())
    return "\n".join((*parts, host().cpu, host().features)).encode()


def _key(name: str, ir: str) -> str:
    return hashlib.blake2b(b"\0".join((setting(), name.encode(), ir.encode())), digest_size=20).hexdigest()


def _link(function: Object) -> int:
    """Puts machine code into memory, where it stays: threads may be in it even while the interpreter ends."""
    import llvmlite.binding as llvm

    _machine()
    module = llvm.parse_assembly("")
    # MCJIT takes its target machine for itself, and would compile the module that it must be given.
    engine = llvm.create_mcjit_compiler(module, llvm.Target.from_default_triple().create_target_machine(jit=True))
    engine.remove_module(module)
    engine.add_object_file(llvm.ObjectFileRef.from_data(function.code))
    engine.finalize_object()
    found = int(engine.get_function_address(function.name))
    if not found:
        raise RuntimeError(f"compiled code has no function {function.name!r}")
    engine.detach()
    return found


def _compile(ir: str) -> bytes:
    import llvmlite.binding as llvm

    machine = _machine()
    module = llvm.parse_assembly(ir)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options())
    # The text is arranged as it should run: LLVM has to turn stack slots into registers and to tidy up. Its whole
    # pipeline takes ten times as long, and finds nothing more.
    passes = llvm.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    passes.run(module, builder)
    return bytes(machine.emit_object(module))


def _is_writable(folder: Path | None) -> bool:
    if folder is None:
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _is_stored(folder: Path | None, key: str) -> bool:
    return folder is not None and (folder / key[:2] / key).is_file()


def _stored(key: str) -> bytes | None:
    folder = cache_folder()
    if folder is None:
        return None
    try:
        content = (folder / key[:2] / key).read_bytes()
    except OSError:
        return None
    digest, code = content[:DIGEST], content[DIGEST:]
    return code if _digest(key, code) == digest else None


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.blake2b(key.encode() + code, digest_size=DIGEST).digest()


def _store(key: str, code: bytes) -> None:
    """Keeps the code for other processes; a folder that cannot be written to costs time, not correctness."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        (folder / key[:2]).mkdir(parents=True, exist_ok=True)
        atomic_write(folder / key[:2] / key, _digest(key, code) + code, durable=False)
        entries = sorted((folder / key[:2]).iterdir(), key=lambda path: path.lstat().st_mtime)
        for old in entries[:-MOST]:
            old.unlink(missing_ok=True)
    except OSError:
        return
