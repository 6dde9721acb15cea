# ruff: noqa: E501
"""What is found in a sample of each language: (kind, qualified name) of definitions, and some uses."""

import pytest

from recollect.index.parse import parse
from recollect.index.symbols import unpacked

SAMPLES: dict[str, tuple[str, set[tuple[str, str]], set[str]]] = {
    "a.py": (
        "LIMIT = 3\n\n@cached\nclass A(Base):\n    x = 1\n    async def run(self):\n        helper()\n\ndef top():\n    def inner(): pass\n",
        {("constant", "LIMIT"), ("class", "A"), ("method", "A.run"), ("function", "top"), ("function", "top.inner")},
        {"helper", "Base", "cached"},
    ),
    "a.js": (
        "const MAX = 1;\nclass A extends Base { run() { go(); } static x = 1 }\nconst f = (a) => a;\nfunction g() {}\nA.prototype.h = function () {};\n",
        {
            ("constant", "MAX"),
            ("class", "A"),
            ("method", "A.run"),
            ("function", "f"),
            ("function", "g"),
            ("method", "A.h"),
        },
        {"go", "Base"},
    ),
    "a.ts": (
        "export interface I { a: string }\nexport type T = I;\nexport enum E { X }\nexport class A implements Iface { m(): void { call() } }\n"
        "export function f<T>(x: T): T { return x }\n",
        {("interface", "I"), ("type", "T"), ("enum", "E"), ("class", "A"), ("method", "A.m"), ("function", "f")},
        {"call", "Iface"},
    ),
    "a.tsx": ("export function App() { return <Page title='x' /> }\n", {("function", "App")}, set()),
    "a.go": (
        "package p\ntype S struct{ a int }\ntype I interface{ M() }\nconst C = 1\nfunc (s *S) M() { Do() }\nfunc F() {}\n",
        {("struct", "S"), ("interface", "I"), ("constant", "C"), ("method", "S.M"), ("function", "F")},
        {"Do"},
    ),
    "a.rs": (
        "pub struct S { a: i32 }\npub enum E { A }\npub trait T { fn t(&self); }\nimpl T for S { fn t(&self) { go(); } }\nmod m { pub fn f() {} }\n"
        "macro_rules! mac { () => {} }\nconst C: i32 = 1;\ntype A = S;\n",
        {
            ("struct", "S"),
            ("enum", "E"),
            ("trait", "T"),
            ("method", "S.t"),
            ("function", "m.f"),
            ("macro", "mac"),
            ("constant", "C"),
            ("type", "A"),
        },
        {"go"},
    ),
    "A.java": (
        "package p;\npublic class A extends B implements I { public A() {} void run() { go(); } enum E { X } }\ninterface I { void m(); }\nrecord R(int a) {}\n",
        {("class", "A"), ("method", "A.run"), ("enum", "A.E"), ("interface", "I"), ("class", "R")},
        {"go"},
    ),
    "a.kt": (
        "class A(val x: Int) { fun run() { go() } }\ninterface I\nobject O\nfun f() {}\n",
        {("class", "A"), ("method", "A.run"), ("interface", "I"), ("function", "f")},
        {"go"},
    ),
    "a.scala": (
        "object O { def f(x: Int) = go(x) }\nclass C\ntrait T\n",
        {("class", "C"), ("trait", "T")},
        {"go"},
    ),
    "a.c": (
        "struct s { int a; };\n#define LIMIT 3\ntypedef struct s s_t;\nenum e { A };\nint f(int x) { return go(x); }\n",
        {("struct", "s"), ("macro", "LIMIT"), ("enum", "e"), ("function", "f"), ("type", "s_t")},
        {"go"},
    ),
    "a.cpp": (
        "namespace n {\nclass A { public: void m() { go(); } };\ntemplate <class T> T f(T x) { return x; }\n}\nvoid n::A::q() {}\n",
        {("class", "n.A"), ("method", "n.A.m"), ("function", "n.f"), ("method", "n.A.q")},
        {"go"},
    ),
    "a.cs": (
        "namespace N { public class A : B { public void Run() { Go(); } public int X { get; set; } } interface I {} struct S {} enum E { A } }\n",
        {("class", "A"), ("method", "A.Run"), ("interface", "I"), ("struct", "S"), ("enum", "E")},
        {"Go"},
    ),
    "a.m": (
        "@interface A : NSObject\n- (void)run;\n@end\n@implementation A\n- (void)run { [self go]; }\n@end\n",
        {("class", "A"), ("method", "A.run")},
        set(),
    ),
    "a.rb": (
        "module M\n  class A < B\n    LIMIT = 1\n    def run\n      go()\n    end\n    def self.make; end\n  end\nend\n",
        {("module", "M"), ("class", "M.A"), ("method", "M.A.run")},
        {"go"},
    ),
    "a.php": (
        "<?php\nnamespace N;\nclass A extends B { public function run() { go(); } }\ninterface I {}\nfunction f() {}\n",
        {("class", "A"), ("method", "A.run"), ("interface", "I"), ("function", "f")},
        {"go"},
    ),
    "a.swift": (
        "class A { func run() { go() } }\nstruct S {}\nprotocol P {}\nenum E { case a }\nfunc f() {}\n",
        {("class", "A"), ("method", "A.run"), ("struct", "S"), ("enum", "E"), ("function", "f")},
        {"go"},
    ),
    "a.sh": ("run() { go; }\nfunction stop { :; }\n", {("function", "run"), ("function", "stop")}, {"go"}),
    "a.lua": (
        "local function f() go() end\nfunction M.g() end\nM.h = function() end\n",
        {("function", "f"), ("method", "M.g"), ("method", "M.h")},
        {"go"},
    ),
    "a.ex": (
        "defmodule A.B do\n  def run(x), do: go(x)\n  defp hidden, do: 1\n  defmacro m(x), do: x\nend\n",
        {("module", "A.B"), ("function", "A.B.run"), ("function", "A.B.hidden"), ("macro", "A.B.m")},
        {"go"},
    ),
    "a.hs": (
        "module M where\ndata T = A | B\nclass C a where\n  m :: a\nf :: Int -> Int\nf x = g x\n",
        {("function", "f")},
        set(),
    ),
    "a.ml": (
        "module M = struct let f x = g x end\nlet limit = 3\ntype t = int\n",
        {("module", "M"), ("constant", "limit"), ("type", "t")},
        set(),
    ),
    "a.zig": (
        "const S = struct { a: u8, pub fn m(self: S) void { go(); } };\npub fn f() void {}\n",
        {("struct", "S"), ("function", "f")},
        {"go"},
    ),
    "a.jl": (
        "struct S\n  a\nend\nfunction f(x)\n  go(x)\nend\nh(x) = x\n",
        {("struct", "S"), ("function", "f")},
        {"go"},
    ),
    "a.dart": ("class A { void run() { go(); } }\nvoid f() {}\n", {("class", "A")}, set()),
    "a.pl": ("package P;\nsub run { go(); }\n", {("function", "run")}, set()),
    "a.sql": ("CREATE TABLE users (id int);\n", {("table", "users")}, set()),
    "a.sol": ("contract C { function f() public {} }\n", {("method", "C.f")}, set()),
    "a.groovy": ("class A { def run() { go() } }\n", {("class", "A")}, set()),
    "a.ps1": ("function Get-It { Write-Host 1 }\n", {("function", "Get-It")}, set()),
    "a.md": ("# Title\n\ntext\n\n## Part\n\nmore\n", {("section", "Title")}, set()),
    "main.tf": ('resource "aws_s3" "b" {\n  a = 1\n}\n', {("block", "resource.aws_s3.b")}, set()),
    "Makefile": ("build: x\n\techo\n", {("target", "build")}, set()),
    "a.toml": ("[tool.x]\na = 1\n", {("section", "tool.x")}, set()),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_definitions_and_uses_are_found(name: str) -> None:
    source, symbols, uses = SAMPLES[name]
    parsed = parse(source.encode(), name)
    assert parsed.problem is None
    found = {(symbol.kind, symbol.qualified_name) for symbol in parsed.symbols}
    assert symbols <= found, f"missing {symbols - found}; found {found}"
    used = {used for used, _ in unpacked(parsed.references)}
    assert uses <= used, f"missing {uses - used}; found {used}"


def test_lines_and_signatures_are_those_of_the_definition() -> None:
    source = "import x\n\n\ndef long(\n    a,\n    b,\n) -> int:\n    return 1\n"
    symbol = parse(source.encode(), "a.py").symbols[0]
    assert (symbol.start_line, symbol.end_line) == (4, 8)
    assert symbol.signature == "def long( a, b, ) -> int:"


def test_a_chunk_is_named_for_what_it_defines() -> None:
    body = "\n".join(f"        line_{i} = {i}" for i in range(120))
    source = f"class A:\n    def first(self):\n{body}\n\n    def second(self):\n{body}\n"
    named = {chunk.symbol for chunk in parse(source.encode(), "a.py").chunks}
    assert {"A.second"} <= named


def test_a_notebook_is_read_by_cells() -> None:
    notebook = b'{"cells": [{"cell_type": "markdown", "source": ["# Title"]}, {"cell_type": "code", "source": "def f():\\n    return 1"}]}'
    parsed = parse(notebook, "a.ipynb")
    assert parsed.text == "# cell 1 (markdown)\n# Title\n# cell 2 (code)\ndef f():\n    return 1"
    assert [(symbol.name, symbol.start_line) for symbol in parsed.symbols if symbol.kind == "function"] == [("f", 4)]
    assert len(parsed.chunks) == 2


def test_other_encodings_are_read() -> None:
    for encoding in ("utf-8-sig", "utf-16", "latin-1", "utf-32"):
        assert "größe" in parse("größe = 1\r\nb = 2\r\n".encode(encoding), "a.py").text


def test_data_on_one_long_line_is_not_given_to_a_grammar() -> None:
    parsed = parse(b"x = [" + b"1," * 10_000 + b"]\n", "a.py")
    assert parsed.problem == "long_line"
    assert len(parsed.chunks) == 1
