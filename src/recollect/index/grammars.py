"""What to look for in each grammar's syntax trees: definitions, scopes that qualify names, uses of names.

One line per grammar and subject, so that the whole is a table: `node=kind` for definitions (`parent>node=kind`: only
there, which spares looking at every assignment), node types for scopes, and
`node.field` (or a node type) for uses. Names come from a node's `name` field unless `symbols.py` knows better.
"""

from __future__ import annotations

import functools
import importlib
import warnings
from typing import Final

import tree_sitter

from recollect.records import dataclass

# grammar → (module, function that gives the language)
_MODULES: Final[dict[str, tuple[str, str]]] = {
    **{
        name: (f"tree_sitter_{name}", "language")
        for name in [
            "python",
            "javascript",
            "go",
            "rust",
            "java",
            "kotlin",
            "scala",
            "c",
            "cpp",
            "c_sharp",
            "objc",
            "ruby",
            "swift",
            "bash",
            "lua",
            "elixir",
            "haskell",
            "zig",
            "julia",
            "dart",
            "perl",
            "sql",
            "html",
            "css",
            "json",
            "yaml",
            "toml",
            "markdown",
            "hcl",
            "nix",
            "dockerfile",
            "make",
            "powershell",
            "groovy",
            "solidity",
        ]
    },
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "php": ("tree_sitter_php", "language_php"),
    "ocaml": ("tree_sitter_ocaml", "language_ocaml"),
    "ocaml_interface": ("tree_sitter_ocaml", "language_ocaml_interface"),
}

_JAVASCRIPT: Final = (
    "function_declaration=function generator_function_declaration=function class_declaration=class class=class "
    "method_definition=method variable_declarator=constant assignment_expression=function pair=method "
    "field_definition=method"
)
_TYPESCRIPT: Final = (
    _JAVASCRIPT.replace("field_definition", "public_field_definition")
    + " interface_declaration=interface type_alias_declaration=type enum_declaration=enum "
    "abstract_class_declaration=class module=module internal_module=module function_signature=function "
    "method_signature=method abstract_method_signature=method"
)
_C: Final = (
    "function_definition=function struct_specifier=struct union_specifier=union enum_specifier=enum type_definition=type "
    "preproc_def=macro preproc_function_def=macro"
)

DEFINITIONS: Final[dict[str, str]] = {
    "python": "function_definition=function class_definition=class "
    "module>expression_statement>assignment=constant type_alias_statement=type",
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "go": "function_declaration=function method_declaration=method type_spec=type type_alias=type const_spec=constant "
    "var_spec=variable method_elem=method",
    "rust": "function_item=function function_signature_item=function struct_item=struct enum_item=enum union_item=union "
    "trait_item=trait type_item=type const_item=constant static_item=constant mod_item=module macro_definition=macro",
    "java": "class_declaration=class interface_declaration=interface enum_declaration=enum record_declaration=class "
    "annotation_type_declaration=interface method_declaration=method constructor_declaration=constructor",
    "kotlin": "class_declaration=class object_declaration=object function_declaration=function property_declaration=property "
    "type_alias=type companion_object=object",
    "scala": "class_definition=class object_definition=object trait_definition=trait function_definition=function "
    "function_declaration=function val_definition=constant type_definition=type given_definition=given enum_definition=enum",
    "c": _C,
    "cpp": _C
    + " class_specifier=class alias_declaration=type concept_definition=concept namespace_definition=namespace",
    "c_sharp": "class_declaration=class interface_declaration=interface struct_declaration=struct enum_declaration=enum "
    "record_declaration=class method_declaration=method constructor_declaration=constructor property_declaration=property "
    "delegate_declaration=type",
    "objc": _C + " class_interface=class class_implementation=class protocol_declaration=interface "
    "method_definition=method method_declaration=method",
    "ruby": "class=class module=module method=method singleton_method=method assignment=constant",
    "php": "class_declaration=class interface_declaration=interface trait_declaration=trait enum_declaration=enum "
    "function_definition=function method_declaration=method const_element=constant",
    "swift": "class_declaration=class protocol_declaration=interface function_declaration=function init_declaration=constructor "
    "typealias_declaration=type protocol_function_declaration=method property_declaration=property",
    "bash": "function_definition=function",
    "lua": "function_declaration=function assignment_statement=function field=method",
    "elixir": "call=function",
    "haskell": "function=function bind=function signature=signature data_type=type newtype=type type_synonym=type class=class "
    "type_family=type data_family=type",
    "ocaml": "let_binding=function type_binding=type module_binding=module class_binding=class external=function "
    "exception_definition=type module_type_definition=module",
    "ocaml_interface": "value_specification=function type_binding=type module_binding=module class_binding=class external=function "
    "exception_definition=type module_type_definition=module",
    "zig": "function_declaration=function variable_declaration=constant",
    "julia": "function_definition=function struct_definition=struct module_definition=module macro_definition=macro "
    "abstract_definition=type assignment=function",
    "dart": "class_definition=class mixin_declaration=class extension_declaration=class enum_declaration=enum "
    "function_signature=function getter_signature=method setter_signature=method constructor_signature=constructor type_alias=type",
    "perl": "subroutine_declaration_statement=function package_statement=module",
    "sql": "create_table=table create_function=function create_view=view create_materialized_view=view create_type=type create_index=index "
    "create_trigger=trigger",
    "powershell": "function_statement=function class_statement=class enum_statement=enum class_method_definition=method",
    "groovy": "class_declaration=class interface_declaration=interface enum_declaration=enum "
    "method_declaration=method function_definition=function",
    "solidity": "contract_declaration=class interface_declaration=interface library_declaration=module function_definition=function "
    "struct_declaration=struct event_definition=event modifier_definition=function enum_declaration=enum error_declaration=type",
    "hcl": "block=block",
    "make": "rule=target",
    "markdown": "atx_heading=section setext_heading=section",
    "toml": "table=section table_array_element=section",
}

# Nodes that qualify the names inside them without being definitions of their own.
SCOPES: Final[dict[str, str]] = {
    "rust": "impl_item",
    "c_sharp": "",
    "haskell": "instance",
}

# Uses: `node.field` → the last name in that field; a bare node type → its text.
USES: Final[dict[str, str]] = {
    "python": "call.function decorator class_definition>argument_list>_ import_from_statement.name type",
    "javascript": "call_expression.function new_expression.constructor class_heritage import_specifier.name",
    "typescript": "call_expression.function new_expression.constructor import_specifier.name type_identifier",
    "tsx": "call_expression.function new_expression.constructor import_specifier.name type_identifier "
    "jsx_opening_element.name jsx_self_closing_element.name",
    "go": "call_expression.function type_identifier",
    "rust": "call_expression.function macro_invocation.macro type_identifier",
    "java": "method_invocation.name object_creation_expression.type type_identifier",
    "kotlin": "call_expression user_type constructor_invocation",
    "scala": "call_expression.function type_identifier",
    "c": "call_expression.function type_identifier",
    "cpp": "call_expression.function type_identifier",
    "c_sharp": "invocation_expression.function object_creation_expression.type base_list",
    "objc": "call_expression.function type_identifier",
    "ruby": "call.method constant",
    "php": "function_call_expression.function member_call_expression.name scoped_call_expression.name object_creation_expression",
    "swift": "call_expression type_identifier",
    "bash": "command.name",
    "lua": "function_call.name",
    "elixir": "call.target alias",
    "haskell": "apply.function variable",
    "ocaml": "application_expression.function",
    "zig": "call_expression.function",
    "julia": "call_expression",
    "dart": "type_identifier",
    "perl": "function_call_expression.function method_call_expression.method",
    "groovy": "method_invocation.name",
    "solidity": "call_expression.function user_defined_type",
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Nodes to capture: named ones of kind `path[-1]` (`_`: of any), each around by the one before it. `field`: theirs, if any."""

    capture: str
    path: tuple[str, ...]
    field: str = ""

    def __str__(self) -> str:
        """As a query of tree-sitter: `(a (b field: (c) @capture))`."""
        *around, own = (f"({kind}" for kind in self.path)
        field = f"{self.field}: " if self.field else ""
        return f"{' '.join([*around, field + own])}) @{self.capture}{')' * len(around)}"


@dataclass(frozen=True, slots=True, eq=False)
class Grammar:
    """A loaded grammar with what its tables ask for: captures `d` (definitions), `s` (scopes), `u` (uses).

    `pointer`: the language, as its package hands it over.
    """

    name: str
    pointer: object
    language: tree_sitter.Language
    parser: tree_sitter.Parser
    patterns: tuple[Pattern, ...]
    kinds: dict[str, str]


@functools.cache
def load(name: str) -> Grammar | None:
    """The grammar, loaded when it is first needed; None where its package is not installed."""
    module, function = _MODULES[name]
    try:
        pointer = getattr(importlib.import_module(module), function)()
    except ImportError:
        return None
    with warnings.catch_warnings():  # some packages still hand over the pointer as a number
        warnings.simplefilter("ignore", DeprecationWarning)
        language = tree_sitter.Language(pointer)
    kinds = dict(item.rpartition(">")[2].split("=") for item in DEFINITIONS.get(name, "").split())
    return Grammar(name, pointer, language, tree_sitter.Parser(language), patterns(name), kinds)


def patterns(name: str) -> tuple[Pattern, ...]:
    """What the tables above name."""
    definitions = [item.split("=")[0] for item in DEFINITIONS.get(name, "").split()]
    uses = [use.partition(".") for use in USES.get(name, "").split()]
    return (
        *(Pattern("d", tuple(path.split(">"))) for path in definitions),
        *(Pattern("s", (kind,)) for kind in SCOPES.get(name, "").split()),
        *(Pattern("u", (path, "_") if field else tuple(path.split(">")), field) for path, _, field in uses),
    )


def has(name: str | None) -> bool:
    return name in _MODULES
