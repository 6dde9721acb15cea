"""Syntax trees, and what a grammar's tables find in them: by tree-sitter's Python binding, or compiled (docs/adr/0018).

The binding makes an object of every node that is looked at, and its queries take half as long as parsing does. `trees.c` writes
the whole tree into columns instead, and finds what the tables ask for on the way.
"""

from __future__ import annotations

import ctypes
import functools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import tree_sitter
from numpy.typing import NDArray

from recollect import native
from recollect.index.grammars import Grammar
from recollect.native import binding

MAX_CHILDREN: Final = 5_000  # of one node: beyond, queries turn quadratic (200 KB of `(` took 22 s)
_COLUMNS: Final = 9
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

    `uses`: (first byte, end byte, row of the last byte) of each, those that begin first first, and of these the longest.
    """

    root: AnyNode
    definitions: Sequence[AnyNode]
    scopes: Sequence[AnyNode]
    uses: list[tuple[int, int, int]]


def read(grammar: Grammar, source: bytes) -> Syntax:
    """Parse UTF-8. Nothing is found where the root has more than MAX_CHILDREN children."""
    reader = _reader(grammar)
    return by_binding(grammar, source) if reader is None else reader.read(source)


def by_binding(grammar: Grammar, source: bytes) -> Syntax:
    """The same by the binding alone."""
    root = grammar.parser.parse(source).root_node
    if grammar.query is None or root.child_count > MAX_CHILDREN:
        return Syntax(root, [], [], [])
    captures = tree_sitter.QueryCursor(grammar.query).captures(root)
    spans = sorted({(node.start_byte, -node.end_byte) for node in captures.get("u", [])})
    ends_of_lines = np.flatnonzero(np.frombuffer(source, np.uint8) == 10)
    rows = np.searchsorted(ends_of_lines, [-end - 1 for _, end in spans]).tolist()
    uses = [(start, -end, row) for (start, end), row in zip(spans, rows, strict=True)]
    return Syntax(root, captures.get("d", []), captures.get("s", []), uses)


class _Tree:
    """All nodes of a tree, those around before those within: a column for each thing known of them."""

    def __init__(self, reader: Reader, small: NDArray[np.uint16], large: NDArray[np.uint32]) -> None:
        self.reader = reader
        self.kind, self.field, self.captures = (memoryview(column) for column in small)
        columns = [memoryview(column) for column in large]
        self.first, self.end, self.row, self.column, self.end_row, self.end_column = columns[:6]
        self.parent, self.after, self.children = columns[6:]

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
        for child in self.within(number):
            if self.field[child] == field:
                return child
            if self.captures[child] & _INLINED and (inner := self.by_field(child, field)) is not None:
                return inner
        return None


class Node:
    """A node of such a tree; what it has is as in `tree_sitter.Node`."""

    __slots__ = ("_tree", "id")

    def __init__(self, tree: _Tree, number: int) -> None:
        self._tree = tree
        self.id = number

    @property
    def type(self) -> str:
        return self._tree.reader.types[self._tree.kind[self.id]]

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


class _Children:
    """The children of a node. `rows`: those in which they begin, ascending."""

    def __init__(self, node: tree_sitter.Node) -> None:
        self._nodes = node.children
        self.rows = [child.start_point[0] for child in self._nodes]
        self.types = [child.type for child in self._nodes]

    def end_row(self, at: int) -> int:
        return self._nodes[at].end_point[0]

    def largest(self, first: int, last: int) -> AnyNode | None:
        """Of those that begin in rows `first` to `last` and have children, the largest, if it fills more than a line."""
        inside = self._nodes[bisect_left(self.rows, first) : bisect_right(self.rows, last)]
        found = max(
            (child for child in inside if child.child_count),
            key=lambda child: child.end_byte - child.start_byte,
            default=None,
        )
        return found if found is not None and found.end_point[0] > found.start_point[0] else None


class _Numbered:
    """The same of a node in columns."""

    def __init__(self, node: Node) -> None:
        self._tree = tree = node._tree
        self._numbers = numbers = tree.within(node.id)
        row, kind, types = tree.row, tree.kind, tree.reader.types
        self.rows = [row[number] for number in numbers]
        self.types = [types[kind[number]] for number in numbers]

    def end_row(self, at: int) -> int:
        return self._tree.end_row[self._numbers[at]]

    def largest(self, first: int, last: int) -> AnyNode | None:
        tree = self._tree
        inside = self._numbers[bisect_left(self.rows, first) : bisect_right(self.rows, last)]
        sizes = [(tree.end[number] - tree.first[number], -number) for number in inside if tree.children[number]]
        found = -max(sizes)[1] if sizes else None
        return Node(tree, found) if found is not None and tree.end_row[found] > tree.row[found] else None


def children(node: AnyNode) -> _Children | _Numbered:
    return _Numbered(node) if isinstance(node, Node) else _Children(node)


class Reader:
    """A grammar's tables, as `trees_read` takes them. Usable from any thread."""

    def __init__(self, library: ctypes.CDLL, grammar: Grammar) -> None:
        language = grammar.language
        self._library = library
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

    def read(self, source: bytes) -> Syntax:
        nodes = self._library.trees_parse(self._language, source, len(source))
        small, large = np.empty((3, nodes), np.uint16), np.empty((_COLUMNS, nodes), np.uint32)
        self._library.trees_read(
            nodes,
            *(column.ctypes.data for column in small),
            large.ctypes.data,
            len(self.types) - 1,
            self.is_named,
            self._by_self.ctypes.data,
            self._by_parent.ctypes.data,
            self._patterns.ctypes.data,
        )
        tree = _Tree(self, small, large)
        root = Node(tree, 0)
        if self._nothing or root.child_count > MAX_CHILDREN:
            return Syntax(root, [], [], [])
        captures = small[2] & np.uint16(_DEFINITION | _SCOPE | _USE)
        at = np.flatnonzero(captures)
        found = captures[at]
        definitions, scopes = (
            [Node(tree, number) for number in at[(found & capture) != 0].tolist()] for capture in (_DEFINITION, _SCOPE)
        )
        uses = at[(found & _USE) != 0]
        first, end, _, _, end_row, end_column = large[:6, uses]
        rows = end_row - (end_column == 0)
        spans = dict.fromkeys(zip(first.tolist(), end.tolist(), rows.tolist(), strict=True))
        return Syntax(root, definitions, scopes, list(spans))


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
