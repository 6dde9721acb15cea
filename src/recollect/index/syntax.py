"""Syntax trees, and what a grammar's tables find in them: by tree-sitter's Python binding, or compiled (docs/adr/0018).

The binding makes an object of every node that is looked at, and its queries take half as long as parsing does. `trees.c` writes
the whole tree into columns instead, and finds what the tables ask for on the way.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import tree_sitter
from numpy.typing import NDArray

from recollect import native
from recollect.index.grammars import Grammar
from recollect.native import binding

MAX_CHILDREN: Final = 5_000  # of one node: beyond, queries turn quadratic (200 KB of `(` took 22 s)
_COLUMNS: Final = 9
_NO_MEMORY: Final = -1
_DEFINITION, _SCOPE, _USE, _INLINED = 1, 2, 4, 8  # captures, as bits
_CAPTURES: Final = {"d": _DEFINITION, "s": _SCOPE, "u": _USE}
_FUNCTIONS: Final = (
    "set_allocator parser_new parser_delete parser_set_language parser_parse_string tree_root_node tree_cursor_new "
    "tree_cursor_goto_first_child tree_cursor_goto_next_sibling tree_cursor_goto_parent tree_cursor_current_node "
    "tree_cursor_current_field_id node_child_by_field_id node_descendant_count node_symbol node_start_byte node_end_byte "
    "node_start_point node_end_point current_malloc current_calloc current_realloc current_free"
).split()  # in the order of `Api` in trees.c


@dataclass(slots=True)
class Syntax:
    """A file's tree, with the definitions, scopes and uses that its grammar's tables name.

    `definitions`: those that begin first first, and of these the longest.
    """

    source: bytes
    root: AnyNode
    definitions: Sequence[Defined]
    found: bool  # else there was nothing to be looked for, or too much
    _captured: Sequence[tree_sitter.Node] = ()

    def uses(self) -> list[Use]:
        """Those that begin first first, and of these the longest."""
        if isinstance(self.root, Node):
            return self.root._tree.uses() if self.found else []
        spans = sorted({(node.start_byte, -node.end_byte) for node in self._captured})
        ends_of_lines = np.flatnonzero(np.frombuffer(self.source, np.uint8) == 10)
        rows = np.searchsorted(ends_of_lines, [-end - 1 for _, end in spans]).tolist()
        return [(start, -end, row) for (start, end), row in zip(spans, rows, strict=True)]

    def packed_uses(self, most: int) -> bytes | None:
        """What `symbols.packed` makes of the names in the first `most` uses; None where they are to be looked at one by one."""
        return self.root._tree.packed_uses(self.source, most) if self.found and isinstance(self.root, Node) else None

    def chunks(self, rows: int, leads: Callable[[str], bool], limits: Sequence[int]) -> list[tuple[int, int]] | None:
        """First and last row of each chunk, as `chunk.by_syntax` cuts a file of so many rows; None where that is left to it."""
        return self.root._tree.chunks(self.source, rows, leads, limits) if isinstance(self.root, Node) else None


Use = tuple[int, int, int]  # first byte, end byte, row of the last byte
# Node, whether it is a scope, first byte, end byte, first line, last line.
Defined = tuple["AnyNode", bool, int, int, int, int]


def read(grammar: Grammar, source: bytes) -> Syntax:
    """Parse UTF-8. Nothing is found where the root has more than MAX_CHILDREN children."""
    reader = _reader(grammar)
    return by_binding(grammar, source) if reader is None else reader.read(source)


def by_binding(grammar: Grammar, source: bytes) -> Syntax:
    """The same by the binding alone."""
    root = grammar.parser.parse(source).root_node
    if not grammar.patterns or root.child_count > MAX_CHILDREN:
        return Syntax(source, root, [], False)
    captures = tree_sitter.QueryCursor(_query(grammar)).captures(root)
    scopes = {node.id: (node, True) for node in captures.get("s", [])}
    named = {node.id: (node, False) for node in captures.get("d", [])} | scopes
    nodes = sorted(named.values(), key=lambda one: (one[0].start_byte, -one[0].end_byte, one[1]))
    definitions: list[Defined] = []
    for node, scope in nodes:
        (row, _), (end_row, end_column) = node.start_point, node.end_point
        definitions.append((node, scope, node.start_byte, node.end_byte, row + 1, end_row + (end_column > 0)))
    return Syntax(source, root, definitions, True, captures.get("u", []))


@functools.cache
def _query(grammar: Grammar) -> tree_sitter.Query:
    return tree_sitter.Query(grammar.language, "\n".join(map(str, grammar.patterns)))


class _Tree:
    """All nodes of a tree, those around before those within: a column for each thing known of them."""

    def __init__(self, reader: Reader, small: NDArray[np.uint16], large: NDArray[np.uint32]) -> None:
        self.reader = reader
        self._small, self._large = small, large
        self._given = small.shape[1], small.ctypes.data, large.ctypes.data  # the tree, as the library takes it
        self.types = reader.types
        self.kind, self.field, self.captures = _columns(small)
        self.first, self.end, self.row, self.column, self.end_row, self.end_column, *rest = _columns(large)
        self.parent, self.after, self.children = rest

    def definitions(self) -> list[Defined]:
        first, end, captures, row = self.first, self.end, self.captures, self.row
        end_row, end_column = self.end_row, self.end_column
        numbers = np.flatnonzero(self._small[2] & np.uint16(_DEFINITION | _SCOPE)).tolist()
        found = sorted([(first[number], -end[number], captures[number] & _SCOPE, number) for number in numbers])
        return [
            (Node(self, at), bool(scope), begin, -until, row[at] + 1, end_row[at] + (end_column[at] > 0))
            for begin, until, scope, at in found
        ]

    def uses(self) -> list[Use]:
        at = np.flatnonzero(self._small[2] & np.uint16(_USE))
        first, end, _, _, end_row, end_column = self._large[:6, at]
        rows = end_row - (end_column == 0)
        return list(dict.fromkeys(zip(first.tolist(), end.tolist(), rows.tolist(), strict=True)))

    def packed_uses(self, source: bytes, most: int) -> bytes | None:
        library = self.reader.library
        size = library.trees_uses(*self._given, source, _USE, most)
        if size == _NO_MEMORY:
            raise MemoryError
        if size <= 0:
            return b"" if size == 0 else None
        found = np.empty(size, np.uint8)
        library.trees_take(found.ctypes.data)
        return found.tobytes()

    def chunks(
        self, source: bytes, rows: int, leads: Callable[[str], bool], limits: Sequence[int]
    ) -> list[tuple[int, int]]:
        spans = np.empty((rows, 2), np.int32)
        found = self.reader.library.trees_chunks(
            *self._given, source, len(source), rows, self.reader.flags(leads), _int32(*limits), spans.ctypes.data
        )
        if found == _NO_MEMORY:
            raise MemoryError
        return list(map(tuple, spans[:found].tolist()))

    def within(self, number: int) -> list[int]:
        """The children of a node."""
        after, end, found = self.after, self.after[number], []
        number += 1
        while number < end:
            found.append(number)
            number = after[number]
        return found

    def by_field(self, number: int, field: int) -> int | None:
        """The first child of a node with this field."""
        fields, captures, after, end = self.field, self.captures, self.after, self.after[number]
        child = number + 1
        while child < end:
            if fields[child] == field:
                return child
            if captures[child] & _INLINED and (inner := self.by_field(child, field)) is not None:
                return inner
            child = after[child]
        return None


def _columns(table: NDArray[Any]) -> list[memoryview]:
    rows, n = table.shape
    flat = table.reshape(-1).data
    return [flat[row * n : (row + 1) * n] for row in range(rows)]


class Node:
    """A node of such a tree; what it has is as in `tree_sitter.Node`."""

    __slots__ = ("_tree", "id")

    def __init__(self, tree: _Tree, number: int) -> None:
        self._tree = tree
        self.id = number

    @property
    def type(self) -> str:
        tree = self._tree
        return tree.types[tree.kind[self.id]]

    @property
    def start_byte(self) -> int:
        return self._tree.first[self.id]

    @property
    def end_byte(self) -> int:
        return self._tree.end[self.id]

    @property
    def start_point(self) -> tuple[int, int]:
        return self._tree.row[self.id], self._tree.column[self.id]

    @property
    def end_point(self) -> tuple[int, int]:
        return self._tree.end_row[self.id], self._tree.end_column[self.id]

    @property
    def parent(self) -> Node | None:
        return Node(self._tree, self._tree.parent[self.id]) if self.id else None

    @property
    def named_children(self) -> list[Node]:
        named, kind = self._tree.reader.is_named, self._tree.kind
        return [Node(self._tree, number) for number in self._tree.within(self.id) if named[kind[number]]]

    @property
    def child_count(self) -> int:
        return self._tree.children[self.id]

    @property
    def named_child_count(self) -> int:
        return len(self.named_children)

    def child_by_field_name(self, name: str) -> Node | None:
        field = self._tree.reader.fields.get(name)
        found = self._tree.by_field(self.id, field) if field is not None else None
        return Node(self._tree, found) if found is not None else None


AnyNode = Node | tree_sitter.Node


class Reader:
    """A grammar's tables, as `trees_read` takes them. Usable from any thread."""

    def __init__(self, library: ctypes.CDLL, grammar: Grammar) -> None:
        language = grammar.language
        self.library = library
        self._language = _address(grammar.pointer)
        self._nothing = not grammar.patterns
        kinds = [language.node_kind_for_id(kind) or "" for kind in range(language.node_kind_count)]
        self.types = [*kinds, "ERROR"]
        self.is_named = bytes([*map(language.node_kind_is_named, range(len(kinds))), True])
        names = {number: language.field_name_for_id(number) for number in range(1, language.field_count + 1)}
        self.fields = {name: number for number, name in names.items() if name}
        self._by_self, self._by_parent = np.zeros((2, len(self.types)), np.uint64)
        self._patterns = np.zeros((len(grammar.patterns), 5), np.uint16)
        for number, pattern in enumerate(grammar.patterns):
            around, parent, own = (_kind(language, kind) for kind in ("_", "_", *pattern.path)[-3:])
            self._patterns[number] = own, self.fields.get(pattern.field, 0), parent, around, _CAPTURES[pattern.capture]
            (self._by_self if own else self._by_parent)[own or parent] |= np.uint64(1 << number)
        self._tables = [table.ctypes.data for table in (self._by_self, self._by_parent, self._patterns)]

    @functools.cache  # noqa: B019 — a reader lives as long as its process
    def flags(self, leads: Callable[[str], bool]) -> bytes:
        """By kind: whether it belongs to what follows it."""
        return bytes(map(leads, self.types))

    def read(self, source: bytes) -> Syntax:
        nodes = self.library.trees_parse(self._language, source, len(source))
        small, large = np.empty((3, nodes), np.uint16), np.empty((_COLUMNS, nodes), np.uint32)
        self.library.trees_read(
            nodes,
            small.ctypes.data,
            large.ctypes.data,
            len(self.types) - 1,
            self.is_named,
            *self._tables,
        )
        tree = _Tree(self, small, large)
        root = Node(tree, 0)
        if self._nothing or root.child_count > MAX_CHILDREN:
            return Syntax(source, root, [], False)
        return Syntax(source, root, tree.definitions(), True)


def is_compiled() -> bool:
    """Whether trees are read by what is compiled."""
    return _library() is not None


@functools.cache
def _int32(*numbers: int) -> ctypes.Array[ctypes.c_int32]:
    return (ctypes.c_int32 * len(numbers))(*numbers)


@functools.cache
def _reader(grammar: Grammar) -> Reader | None:
    """None where the binding is to be used."""
    library = _library()
    return Reader(library, grammar) if library is not None and len(grammar.patterns) <= 64 else None


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The compiled part, once it knows where tree-sitter's functions are."""
    if native.library is None:
        return None
    found = binding.addresses([f"ts_{name}" for name in _FUNCTIONS])
    if found is None:
        return None
    native.library.trees_use((ctypes.c_void_p * len(found))(*found))
    return native.library


def _address(pointer: object) -> int:
    if isinstance(pointer, int):
        return pointer
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = get(pointer, b"tree_sitter.Language")
    return address


def _kind(language: tree_sitter.Language, name: str) -> int:
    """The number of a kind of named nodes; 0 for any."""
    return 0 if name == "_" else language.id_for_node_kind(name, True) or 0
