"""Definitions and uses of names from a syntax tree: what the grammar tables point at, named and qualified."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from recollect.index.grammars import Grammar
from recollect.index.syntax import AnyNode, Defined, Syntax, Use

_MAX_SIGNATURE: Final = 200
_MAX_USES: Final = 20_000
_LOOKED_AT: Final = 400  # bytes of a definition, for its signature
SIGNATURE_LINES: Final = 6  # after its first
_NAME: Final = re.compile(r"[^\W\d][\w$?!']*|\$[\w$]+")
_LAST_NAME: Final = re.compile(r"([^\W\d][\w$]*[?!']?)\W*$")


class Symbol(NamedTuple):
    """A named definition, lines 1-based and inclusive."""

    name: str
    qualified_name: str
    kind: str
    start_line: int
    end_line: int
    signature: str


def find(grammar: Grammar, syntax: Syntax) -> tuple[list[Symbol], bytes]:
    """Definitions in order, and uses as `packed` gives them."""
    definitions = _definitions(grammar, syntax.definitions, syntax.source)
    uses = syntax.packed_uses(_MAX_USES)
    return definitions, packed(_uses(syntax.uses()[:_MAX_USES], syntax.source)) if uses is None else uses


def packed(uses: Iterable[tuple[str, int]]) -> bytes:
    """Names and the lines that use them, each line once: as text, a row `name TAB line,line,…` for each name."""
    lines: dict[str, dict[int, None]] = {}
    for name, line in uses:
        lines.setdefault(name, {})[line] = None
    rows = [f"{name}\t{','.join(map(str, at))}" for name, at in sorted(lines.items())]
    return "\n".join(["", *rows, ""]).encode("utf-8", "surrogatepass") if rows else b""


def unpacked(uses: bytes) -> Iterator[tuple[str, int]]:
    """What `packed` was given."""
    for row in uses.decode("utf-8", "surrogatepass").split("\n")[1:-1]:
        name, _, lines = row.partition("\t")
        for line in lines.split(","):
            yield name, int(line)


def _uses(spans: Sequence[Use], data: bytes) -> Iterator[tuple[str, int]]:
    plain = data.decode("ascii") if data.isascii() else None  # then bytes count as characters
    for start, end, row in spans:
        text = plain[start:end] if plain is not None else data[start:end].decode("utf-8", "replace")
        name = text.rpartition(".")[2]
        if not name.isidentifier():
            if text.endswith((")", "]", "}", ">")):  # `f(x)(y)`, `List<int>`: the head is what is used
                text = re.split(r"[(\[{<]", text, maxsplit=1)[0]
            match = _LAST_NAME.search(text[-200:])
            name = match[1] if match else ""
        if len(name) > 1:
            yield name, row + 1


def _definitions(grammar: Grammar, nodes: Sequence[Defined], data: bytes) -> list[Symbol]:
    special = _SPECIAL.get(grammar.name, _by_field)
    stack: list[tuple[int, str]] = []  # (end byte, qualified name) of the definitions around
    symbols: list[Symbol] = []
    for node, is_scope, first_byte, end_byte, start, end in nodes:
        while stack and stack[-1][0] <= first_byte:
            stack.pop()
        if is_scope:
            name = _scope_name(node, data)
            if name:
                stack.append((end_byte, _qualified(stack, name)))
            continue
        found = special(node, grammar.kinds[node.type], data, bool(stack))
        if found is None:
            continue
        name, kind = found
        own = name
        if "." in name or ":" in name:
            own = re.split(r"\.|::|:", name)[-1] or name
        qualified = _qualified(stack, name)
        if symbols and symbols[-1].qualified_name == qualified and symbols[-1].kind in (kind, "signature"):
            before = symbols.pop()  # further equations of one Haskell function, overloads written in a row
            start, kind = before.start_line, kind
        if kind == "namespace":
            stack.append((end_byte, qualified))
            continue
        symbols.append(Symbol(own, qualified, kind, start, max(start, end), _signature(data, first_byte, end_byte)))
        stack.append((end_byte, qualified))
    return symbols


def _qualified(stack: list[tuple[int, str]], name: str) -> str:
    return f"{stack[-1][1]}.{name}" if stack else name


def _text(node: AnyNode | None, data: bytes) -> str:
    return data[node.start_byte : node.end_byte].decode("utf-8", "replace") if node is not None else ""


def _signature(data: bytes, first: int, end: int) -> str:
    """The signature of a definition at these bytes."""
    end = min(end, first + _LOOKED_AT)
    line = data.find(b"\n", first, end)
    begun = data[first : line if line >= 0 else end].decode("utf-8", "replace")
    if _is_whole(begun):
        return begun.strip()[:_MAX_SIGNATURE]
    return _beginning(data[first:end].decode("utf-8", "replace"))


def is_signature(line: str) -> bool:
    """Whether a line, stripped, is what `signature_of` makes of it and any lines after it: as most are."""
    return line.isascii() and 0 < len(line) <= _MAX_SIGNATURE and _is_whole(line)


def signature_of(lines: Sequence[str]) -> str:
    """The signature of a definition that begins with the first of these lines, and with nothing before it on that."""
    first = lines[0].strip() if lines else ""
    if is_signature(first):
        return first
    begun = "\n".join(lines).lstrip().encode("utf-8", "surrogatepass")
    return _beginning(begun[:_LOOKED_AT].decode("utf-8", "replace"))


def _is_whole(line: str) -> bool:
    return line.count("(") <= line.count(")") and "{" not in line


def _beginning(text: str) -> str:
    first, _, _ = text.partition("\n")
    if _is_whole(first):
        return first.strip()[:_MAX_SIGNATURE]
    for mark in ("{", "\n\n"):
        text = text.split(mark, 1)[0]
    lines = [line.strip() for line in text.splitlines()]
    kept = lines[:1]
    for line in lines[1:SIGNATURE_LINES]:  # parameters written over several lines
        if "".join(kept).count("(") <= "".join(kept).count(")"):
            break
        kept.append(line)
    return " ".join(kept).strip()[:_MAX_SIGNATURE]


def _scope_name(node: AnyNode, data: bytes) -> str:
    for field in ("type", "name", "patterns"):
        text = _text(node.child_by_field_name(field), data)
        match = _NAME.search(text)
        if match:
            return match[0]
    return ""


def _first_name(node: AnyNode | None, data: bytes) -> str:
    """The node's own text where it is a name, else that of the first name inside it."""
    match = _NAME.search(_text(node, data)[:300])
    return match[0] if match else ""


Found = tuple[str, str] | None


def _by_field(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    name = _text(node.child_by_field_name("name"), data).strip()
    if not name:
        for child in node.named_children:
            if "identifier" in child.type or child.type in _NAMES:
                name = _text(child, data).strip()
                break
    name = re.sub(r"[<(\[{].*", "", name, flags=re.DOTALL).strip().strip("\"'`")
    if kind == "function" and inside and node.parent is not None and node.parent.type in _BODIES:
        holder = node.parent.parent
        kind = "function" if holder is not None and "mod" in holder.type else "method"
    return (name, kind) if name and len(name) <= 120 and "\n" not in name else None


_NAMES: Final = frozenset({"name", "word", "constant", "function_name", "simple_name"})
_BODIES: Final = frozenset(
    [
        "block",
        "class_body",
        "declaration_list",
        "template_body",
        "trait_body",
        "field_declaration_list",
        "contract_body",
        "body_statement",
        "enum_class_body",
        "extension_body",
    ]
)


def _python(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    own = node.type
    if own == "assignment":
        left = node.child_by_field_name("left")
        if left is None or left.type != "identifier":
            return None
        return _text(left, data), kind
    if own == "function_definition" and inside:
        around = node.parent
        if around is not None and around.type == "decorated_definition":
            around = around.parent
        holder = around.parent if around is not None else None
        kind = "method" if holder is not None and holder.type == "class_definition" else "function"
        return _text(node.child_by_field_name("name"), data), kind
    return _text(node.child_by_field_name("name") or node.child_by_field_name("left"), data), kind


_FUNCTIONS: Final = frozenset({"arrow_function", "function_expression", "function", "generator_function"})


def _javascript(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    value = node.child_by_field_name("value") or node.child_by_field_name("right")
    if node.type in (
        "variable_declarator",
        "assignment_expression",
        "pair",
        "field_definition",
        "public_field_definition",
    ):
        name_node = (
            node.child_by_field_name("name")
            or node.child_by_field_name("left")
            or node.child_by_field_name("key")
            or node.child_by_field_name("property")
        )
        name = _text(name_node, data).strip("\"'#")
        is_function = value is not None and value.type in _FUNCTIONS
        if name_node is None or not re.fullmatch(r"[\w$.]+", name):
            return None
        if is_function:
            return re.sub(r"\.prototype\b", "", name), "function" if node.type == "variable_declarator" else "method"
        if value is not None and value.type == "class" and node.type == "variable_declarator":
            return name, "class"
        top = node.parent is not None and node.parent.parent is not None and node.parent.parent.type in _TOP
        if node.type == "variable_declarator" and top:
            return name, "constant"
        if node.type == "assignment_expression" and name.startswith(("exports.", "module.exports.")):
            return name.rsplit(".", 1)[1], "constant"
        return None
    if node.type == "class" and node.child_by_field_name("name") is None:
        return None
    name = _text(node.child_by_field_name("name"), data).strip("\"'`#")
    return (name, kind) if name and "\n" not in name else None


_TOP: Final = frozenset({"program", "export_statement"})


def _go(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    name = _first_name(node.child_by_field_name("name"), data)
    if node.type == "type_spec":
        kind = {"struct_type": "struct", "interface_type": "interface"}.get(
            getattr(node.child_by_field_name("type"), "type", ""), kind
        )
    elif node.type == "method_declaration":
        receiver = _NAME.findall(re.sub(r"\[.*", "", _text(node.child_by_field_name("receiver"), data)))
        return (f"{receiver[-1]}.{name}", kind) if receiver and name else None
    elif node.type in ("const_spec", "var_spec"):
        around = node.parent
        while around is not None and around.type in ("var_spec_list", "const_declaration", "var_declaration"):
            around = around.parent
        if around is None or around.type != "source_file":
            return None
    return (name, kind) if name and name != "_" else None


def _c(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type in ("struct_specifier", "union_specifier", "enum_specifier", "class_specifier"):
        if node.child_by_field_name("body") is None:
            return None
        name = _text(node.child_by_field_name("name"), data)
        return (re.sub(r"<.*", "", name, flags=re.DOTALL), kind) if name else None
    if node.type == "type_definition":
        declarator = node.child_by_field_name("declarator")
        names = _NAME.findall(_text(declarator, data)[:200])
        return (names[0], kind) if names else None
    if node.type == "function_definition":
        declarator = node.child_by_field_name("declarator")
        while declarator is not None and declarator.type != "function_declarator":
            declarator = declarator.child_by_field_name("declarator") or _child_declarator(declarator)
        if declarator is None:
            return None
        name = re.sub(r"<[^<>]*>", "", _text(declarator.child_by_field_name("declarator"), data)).strip("*& \n\t")
        method = "::" in name or (node.parent is not None and node.parent.type == "field_declaration_list")
        return (name.replace("::", "."), "method" if method else kind) if name and "\n" not in name else None
    if node.type == "preproc_def" and not _text(node.child_by_field_name("value"), data).strip():
        return None  # include guards and switches
    if node.type in ("class_interface", "class_implementation", "protocol_declaration"):
        names = [_text(child, data) for child in node.named_children if child.type == "identifier"]
        return (names[0], kind) if names else None
    if node.type in ("method_definition", "method_declaration"):
        parts = [
            _text(child, data) for child in node.named_children if child.type in ("identifier", "method_identifier")
        ]
        return (parts[0], kind) if parts else None
    return _by_field(node, kind, data, inside)


def _child_declarator(node: AnyNode) -> AnyNode | None:
    return next((child for child in node.named_children if "declarator" in child.type), None)


def _kotlin(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type == "property_declaration":
        if node.parent is None or node.parent.type not in ("source_file", "class_body", "enum_class_body"):
            return None
        declared = next((child for child in node.named_children if child.type == "variable_declaration"), None)
        return (_first_name(declared, data), kind) if declared is not None else None
    if node.type == "class_declaration":
        head = _text(node, data)[:300]
        if re.match(r"(?:[\w@()\s]*\s)?(?:fun\s+)?interface\s", head):
            kind = "interface"
        elif re.match(r"(?:[\w@()\s]*\s)?enum\s+class\s", head):
            kind = "enum"
    if node.type == "companion_object":
        return None
    return _by_field(node, kind, data, inside)


def _swift(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type == "class_declaration":
        kind = _text(node.child_by_field_name("declaration_kind"), data) or kind
    if node.type == "init_declaration":
        return "init", kind
    if node.type == "property_declaration":
        if node.parent is None or node.parent.type not in ("source_file", "class_body", "protocol_body"):
            return None
        name = _first_name(node.child_by_field_name("name"), data)
        return (name, kind) if name else None
    return _by_field(node, kind, data, inside)


def _lua(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type == "function_declaration":
        name = _text(node.child_by_field_name("name"), data)
        return (name.replace(":", "."), "method" if re.search(r"[.:]", name) else kind) if name else None
    values = node.child_by_field_name("value") or next(
        (c for c in node.named_children if c.type == "expression_list"), None
    )
    if (
        values is None
        or "function"
        not in (
            values.type,
            *(child.type.split("_")[0] for child in values.named_children),
        )
    ) and (values is None or values.type != "function_definition"):
        return None
    target = node.child_by_field_name("name") or node.named_children[0]
    name = _text(target, data).strip()
    return (name.replace(":", "."), "method" if "." in name else kind) if re.fullmatch(r"[\w.:]+", name) else None


_ELIXIR: Final = {
    "def": "function", "defp": "function", "defmacro": "macro", "defmacrop": "macro", "defmodule": "module",
    "defprotocol": "interface", "defimpl": "module", "defguard": "macro", "defdelegate": "function",
}  # fmt: skip


def _elixir(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    word = _text(node.child_by_field_name("target"), data)
    if word not in _ELIXIR:
        return None
    arguments = next((child for child in node.named_children if child.type == "arguments"), None)
    if arguments is None or not arguments.named_children:
        return None
    text = re.split(r"[\s(,]", _text(arguments.named_children[0], data), maxsplit=1)[0]
    return (text, _ELIXIR[word]) if text else None


def _haskell(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type in ("function", "bind", "signature") and node.parent is not None and node.parent.type in _LOCAL:
        return None
    name = _text(node.child_by_field_name("name") or node.child_by_field_name("names"), data)
    if not name and node.type in ("data_type", "newtype", "class", "type_synonym"):
        name = _first_name(node.named_children[0] if node.named_children else None, data)
    name = re.split(r"[\s,(]", name.strip(), maxsplit=1)[0]
    return (name, kind) if name else None


_LOCAL: Final = frozenset({"local_binds", "let", "where"})


def _ocaml(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type == "let_binding":
        around = node.parent.parent if node.parent is not None else None
        if around is None or around.type not in ("compilation_unit", "structure"):
            return None
        name = _text(node.child_by_field_name("pattern"), data)
        if not re.fullmatch(r"[\w']+", name) or name == "_":
            return None
        return name, "function" if node.named_child_count > 2 else "constant"
    target = node.child_by_field_name("name") or (node.named_children[0] if node.named_children else None)
    name = _first_name(target, data)
    return (name, kind) if name else None


def _zig(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type == "variable_declaration":
        match = re.match(
            r"(?:pub\s+|export\s+|extern\s+|threadlocal\s+)*const\s+(\w+)[^=;]*=\s*(.*)",
            _text(node, data)[:300],
            re.DOTALL,
        )
        around = node.parent.type if node.parent is not None else ""
        if match is None or around not in (
            "source_file",
            "struct_declaration",
            "enum_declaration",
            "union_declaration",
        ):
            return None
        held = re.match(r"(?:packed\s+|extern\s+)?(struct|enum|union|opaque)\b", match[2])
        return match[1], held[1] if held else kind
    return _by_field(node, kind, data, inside)


def _julia(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    text = _text(node, data)[:300]
    if node.type == "assignment":
        match = re.match(r"([\w.!]+)(?:\{[^}]*\})?\([^=]*\)[^=]*=[^=]", text)
        return (
            (match[1], kind)
            if match and node.parent is not None and node.parent.type in ("source_file", "block")
            else None
        )
    match = re.match(r"(?:mutable\s+)?\w+\s+(?:type\s+)?([\w.!]+)", text)
    return (match[1], kind) if match else None


def _dart(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    return _by_field(node, "method" if inside and kind == "function" else kind, data, inside)


def _ruby(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if node.type == "assignment":
        left = node.child_by_field_name("left")
        return (_text(left, data), kind) if left is not None and left.type == "constant" else None
    name = _text(node.child_by_field_name("name"), data)
    return (name.replace("::", "."), kind) if name else None


def _markdown(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    title = _text(node, data).split("\n", 1)[0].strip("# \t\r")
    return (title[:100].replace(".", "·").replace(":", "·"), kind) if title else None


def _hcl(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    if inside:
        return None
    words = re.findall(r"[\w-]+", _text(node, data)[:200].split("{", 1)[0])
    return (".".join(words), kind) if len(words) > 1 else None


def _sql(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    named = next((child for child in node.named_children if child.type == "object_reference"), None)
    name = _text(named, data).strip('"`[]')
    return (name, kind) if name else None


def _make(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    name = _text(node.named_children[0] if node.named_children else None, data).split()[:1]
    return (name[0], kind) if name and not name[0].startswith((".", "$", "%")) else None


def _toml(node: AnyNode, kind: str, data: bytes, inside: bool) -> Found:
    name = _text(node, data).split("\n", 1)[0].strip("[] \t\r")
    return (name, kind) if name else None


_SPECIAL: Final[dict[str, Callable[[AnyNode, str, bytes, bool], Found]]] = {
    "python": _python, "javascript": _javascript, "typescript": _javascript, "tsx": _javascript, "go": _go, "c": _c, "cpp": _c,
    "objc": _c, "kotlin": _kotlin, "swift": _swift, "lua": _lua, "elixir": _elixir, "haskell": _haskell, "ocaml": _ocaml,
    "ocaml_interface": _ocaml, "zig": _zig, "julia": _julia, "dart": _dart, "ruby": _ruby, "markdown": _markdown, "hcl": _hcl,
    "sql": _sql, "make": _make, "toml": _toml,
}  # fmt: skip
