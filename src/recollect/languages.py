"""Which language a file is in, and what kind of content that is: by name, by extension, by its first line."""

from __future__ import annotations

import re
from typing import Final

from recollect.records import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """`content`: code | docs | config. `grammar`: name of its tree-sitter grammar; None: chunked by lines."""

    name: str
    content: str
    grammar: str | None
    extensions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


# name | content | grammar (- by lines) | extensions | file names | interpreters | aliases
_TABLE: Final = """
python|code|python|py pyi pyw|sconstruct sconscript|python python2 python3|py
javascript|code|javascript|js jsx mjs cjs||node nodejs|js jsx
typescript|code|typescript|ts mts cts||ts-node deno|ts
tsx|code|tsx|tsx|||
go|code|go|go|||golang
rust|code|rust|rs|||rs
java|code|java|java|||
kotlin|code|kotlin|kt kts|||kt
scala|code|scala|scala sc sbt|||
c|code|c|c h|||
cpp|code|cpp|cc cpp cxx c++ hpp hh hxx h++ ipp inl tpp cu cuh|||c++ cxx
csharp|code|c_sharp|cs csx|||c# cs
objectivec|code|objc|m mm|||objective-c objc
ruby|code|ruby|rb rake gemspec ru|rakefile gemfile guardfile podfile fastfile vagrantfile|ruby|rb
php|code|php|php phtml php5 php7|||
swift|code|swift|swift|||
bash|code|bash|sh bash zsh ksh bats bash-it|.bashrc .bash_profile .zshrc .profile|sh bash zsh ksh dash bats|shell sh
lua|code|lua|lua rockspec||lua luajit|
elixir|code|elixir|ex exs||elixir|
erlang|code|-|erl hrl||escript|
haskell|code|haskell|hs lhs hsc||runhaskell|hs
ocaml|code|ocaml|ml||ocaml|
ocaml-interface|code|ocaml_interface|mli|||
zig|code|zig|zig zon|||
julia|code|julia|jl||julia|
dart|code|dart|dart|||
perl|code|perl|pl pm t||perl|
r|code|-|r||rscript|
sql|code|sql|sql ddl|||
html|docs|html|html htm xhtml|||
css|code|css|css|||
scss|code|-|scss sass less|||
vue|code|-|vue|||
svelte|code|-|svelte|||
astro|code|-|astro|||
json|config|json|json jsonc json5 webmanifest|.babelrc .eslintrc .prettierrc||
yaml|config|yaml|yaml yml|.clang-format||yml
toml|config|toml|toml|||
ini|config|-|ini cfg conf properties editorconfig|.editorconfig .gitconfig .npmrc||
xml|config|-|xml xsd xsl xslt csproj fsproj vbproj props targets plist storyboard xib svg|||
markdown|docs|markdown|md markdown mdx mdown|||md
restructuredtext|docs|-|rst|||rst
asciidoc|docs|-|adoc asciidoc|||
text|docs|-|txt text|readme license copying notice authors contributors changelog||txt
tex|docs|-|tex sty cls bib|||latex
hcl|config|hcl|tf tfvars hcl|||terraform
nix|code|nix|nix|||
dockerfile|config|dockerfile|dockerfile|dockerfile containerfile||docker
make|config|make|mk mak|makefile gnumakefile||makefile
cmake|config|-|cmake|cmakelists.txt||
protobuf|code|-|proto|||proto
graphql|code|-|graphql gql graphqls|||gql
powershell|code|powershell|ps1 psm1 psd1||pwsh|ps1
groovy|code|groovy|groovy gradle|jenkinsfile||
solidity|code|solidity|sol|||
notebook|code|notebook|ipynb|||jupyter ipynb
clojure|code|-|clj cljs cljc edn|||
fsharp|code|-|fs fsi fsx|||f#
fortran|code|-|f f90 f95 f03 f08 for|||
pascal|code|-|pas pp dpr|||
vimscript|code|-|vim|.vimrc||vim
emacslisp|code|-|el|.emacs||elisp
lisp|code|-|lisp lsp cl scm rkt||sbcl guile|scheme
nim|code|-|nim nims|||
crystal|code|-|cr||crystal|
d|code|-|d|||
v|code|-|v vsh|||
assembly|code|-|s asm|||asm
visualbasic|code|-|vb vbs bas|||vb
tcl|code|-|tcl||tclsh wish|
awk|code|-|awk||awk gawk|
fish|code|-|fish||fish|
batch|code|-|bat cmd|||
thrift|code|-|thrift|||
capnproto|code|-|capnp|||
cython|code|-|pyx pxd pxi|||
wgsl|code|-|wgsl glsl vert frag hlsl metal|||glsl
jinja|code|-|jinja j2 jinja2 erb ejs hbs mustache liquid tmpl|||
starlark|code|python|bzl bazel star|build workspace build.bazel||bazel
bitbake|config|-|bb bbclass|||
csv|config|-|csv tsv|||
"""


def _read() -> dict[str, Language]:
    table = {}
    for line in _TABLE.strip().splitlines():
        name, content, grammar, *rest = line.split("|")
        table[name] = Language(name, content, None if grammar == "-" else grammar, *(tuple(x.split()) for x in rest))
    return table


LANGUAGES: Final[dict[str, Language]] = _read()
UNKNOWN: Final = Language("unknown", "docs", None)
_BY_EXTENSION: Final = {extension: item for item in LANGUAGES.values() for extension in item.extensions}
_BY_NAME: Final = {name: item for item in LANGUAGES.values() for name in item.names}
_BY_INTERPRETER: Final = {name: item for item in LANGUAGES.values() for name in item.interpreters}
_BY_ALIAS: Final = {alias: item for item in LANGUAGES.values() for alias in (item.name, *item.aliases)}
_ALSO_ASKED_FOR: Final = {  # as editors and people write them; what a notebook says of itself is read by `lookup`
    "python3": "python",
    "node": "javascript",
    "nodejs": "javascript",
    "ecmascript": "javascript",
    "javascriptreact": "javascript",
    "typescriptreact": "tsx",
    "c-sharp": "csharp",
    "c sharp": "csharp",
    "dotnet": "csharp",
    "cplusplus": "cpp",
    "c plus plus": "cpp",
    "cuda": "cpp",
    "f-sharp": "fsharp",
    "objective c": "objectivec",
    "objectivec++": "objectivec",
    "shellscript": "bash",
    "visual basic": "visualbasic",
    "vb.net": "visualbasic",
    "restructured text": "restructuredtext",
    "plaintext": "text",
    "plain text": "text",
    "jsonc": "json",
    "properties": "ini",
    "viml": "vimscript",
    "emacs lisp": "emacslisp",
    "proto3": "protobuf",
    "jupyter notebook": "notebook",
}
_SHEBANG: Final = re.compile(rb"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+)*(?:\S*/)?)?([\w.+-]+)")
_VERSION: Final = re.compile(r"[\d.]+$")
_OBJECTIVE_C: Final = re.compile(rb"^\s*(@interface|@implementation|@protocol|#import)\b", re.MULTILINE)
_CPP: Final = re.compile(
    rb"^\s*(class\s+\w+|namespace\b|template\s*<|public:|private:|using\s+\w|#include\s*<\w+>)", re.MULTILINE
)


def detect(path: str, head: bytes = b"") -> Language:
    """Language of a file by its name, else by the `#!` line at its `head`. Content of unknown kind counts as docs."""
    name = path.rsplit("/", 1)[-1].lower()
    found = _BY_NAME.get(name)
    if found is None and "." in name:
        found = _BY_EXTENSION.get(name.rsplit(".", 1)[1])
    if found is None:
        found = _BY_NAME.get(name.split(".", 1)[0]) if name.split(".", 1)[0] in ("dockerfile", "makefile") else None
    if found is None and head.startswith(b"#!"):
        match = _SHEBANG.match(head)
        if match:
            found = _BY_INTERPRETER.get(_VERSION.sub("", match[1].decode("ascii", "replace").rsplit("/", 1)[-1]))
    if found is not None and name.endswith(".h") and head:  # C, C++ and Objective-C share it
        if _OBJECTIVE_C.search(head):
            return LANGUAGES["objectivec"]
        if _CPP.search(head):
            return LANGUAGES["cpp"]
    return found or UNKNOWN


def lookup(name: str) -> Language | None:
    """A language by its name or a common other one (`ts`, `c++`, `golang`)."""
    return _BY_ALIAS.get(name.strip().lower())


def asked_for(name: str) -> Language | None:
    """A language as someone asks for it: `lookup`, another common spelling, or an extension (`.kt`, `*.hpp`)."""
    wanted = name.strip().lower()
    extension = wanted.removeprefix("*").removeprefix(".")
    return lookup(_ALSO_ASKED_FOR.get(wanted, wanted)) or _BY_EXTENSION.get(extension)


def usual_name(name: str) -> str:
    """The name that a language has in answers; `name` itself if no language goes by it."""
    found = asked_for(name)
    return found.name if found is not None else name


def all_names() -> tuple[str, ...]:
    """Every name that a language goes by, its usual one first."""
    return (*LANGUAGES, *_BY_ALIAS.keys() - LANGUAGES.keys(), *_ALSO_ASKED_FOR)
