"""What the compiled modules must not contain, because mypyc compiles it into something else; one check each.

Each rule here was a failing test of the compiled build once. The compiler says nothing about any of them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tests.architecture import Module, imports

PURE_CALLS: Final = frozenset({"len", "min", "max", "start", "end", "index", "find"})
"""What the bounds of a slice may call: nothing happens when it is called twice."""

C_WORDS: Final = frozenset(
    f"__{word}"
    for word in (
        *("alignof", "asm", "attribute", "complex", "const", "extension", "imag", "inline"),
        *("label", "real", "restrict", "signed", "thread", "typeof", "volatile"),
    )
)
"""What gcc reserves (Alternate Keywords in its manual)."""

_WAITS: Final = (ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncWith, ast.AsyncFor)
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def no_wait_while_handling(module: Module) -> Iterator[str]:
    """No `await` or `yield` within `except` or `finally`: the exception would stay the current one of all that runs
    meanwhile, and turn up as the cause of errors that have nothing to do with it. Wait behind the block.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Try):
            blocks = [*(handler.body for handler in node.handlers), node.finalbody]
            for wait in (each for block in blocks for each in _in_this_scope(block)):
                if isinstance(wait, _WAITS):
                    yield f"{module.path}:{wait.lineno}: waits while an exception is handled"


def _in_this_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    for node in nodes:
        yield node
        if not isinstance(node, _SCOPES):
            yield from _in_this_scope(ast.iter_child_nodes(node))


def no_work_in_slices(module: Module) -> Iterator[str]:
    """The bounds of a slice call nothing that acts: of a memoryview, for one, they are evaluated twice."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Slice):
            continue
        for call in (each for each in ast.walk(node) if isinstance(each, ast.Call)):
            name = ast.unparse(call.func).rpartition(".")[2]
            if name not in PURE_CALLS:
                yield f"{module.path}:{call.lineno}: {name}() in a slice; give its result a name first"


def no_addresses(module: Module) -> Iterator[str]:
    """No ctypes: a variable dies after its last use, not at the end of its function, and its address with it."""
    for line, name in imports(module):
        if name.split(".")[0] == "ctypes":
            yield f"{module.path}:{line}: ctypes; leave this module out of setup.py's COMPILED"


def no_words_of_c(module: Module) -> Iterator[str]:
    """No attribute that is a word of C with an underscore before it: the compiler writes another one in front."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and f"_{node.attr}" in C_WORDS:
            yield f"{module.path}:{node.lineno}: {node.attr} becomes _{node.attr}, a word of gcc"


def no_slice_constants(module: Module) -> Iterator[str]:
    """No constant that is a slice: compiled, what it cuts is something else. Write the bounds where they are used."""
    for node in _declared(module.tree):
        value = node.value
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "slice":
            yield f"{module.path}:{node.lineno}: a slice as a constant"


def no_fields_of_any_kind(module: Module) -> Iterator[str]:
    """No class says of an attribute that it is an `object`: it becomes another one than the plain build has. Name what
    it is.
    """
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and ast.unparse(each.annotation) == "object":
                name = ast.unparse(each.target)
                yield f"{module.path}:{each.lineno}: {node.name}.{name} is annotated with object"


def _declared(tree: ast.Module) -> Iterator[ast.Assign | ast.AnnAssign]:
    """Yield what is assigned in a module or in a class, outside of functions."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for body in (tree.body, *(each.body for each in classes)):
        yield from (node for node in body if isinstance(node, ast.Assign | ast.AnnAssign))


def heirs(module: Module, compiled: frozenset[str]) -> Iterator[str]:
    """No plain class inherits from a class of a module in `compiled` (dotted names)."""
    names = {name.rpartition(".")[2]: name.rpartition(".")[0] for _, name in imports(module)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                top = ast.unparse(base).partition("[")[0].partition(".")[0]
                if names.get(top) in compiled:
                    yield f"{module.path}:{node.lineno}: {node.name} inherits from compiled {top}"


CHECKS: Final[tuple[Callable[[Module], Iterator[str]], ...]] = (
    no_wait_while_handling,
    no_work_in_slices,
    no_addresses,
    no_words_of_c,
    no_slice_constants,
    no_fields_of_any_kind,
)
