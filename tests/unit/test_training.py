"""The recipe of the embedding, as far as it needs no torch: which pairs come from which sources."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from training import dataset, pairs, sources
from training.extract import excluded
from training.git import run as run_git

from recollect.index import embed, terms
from recollect.index.parse import parse
from tests.conftest import git, write

PYTHON = '''"""Small helpers for working with numbers of all kinds."""


class Wallet:
    """Keeps the coins of one customer together."""

    def pay_invoice(self, invoice):
        """
        Take the money for an invoice out of the wallet.

        :param invoice: what is to be paid
        """
        # a comment that is no documentation
        self.coins -= invoice.amount_to_be_paid_by_the_customer
        return self.coins


def undocumented(left, right):
    return left + right
'''
GO = """package shop

// Checkout sums up the cart and asks the customer to pay.
func Checkout(cart *Cart) error {
	return cart.customer.AskToPay(cart.Sum())
}
"""
ELIXIR = '''defmodule Shop do
  @doc """
  Removes everything that was put into the cart before.
  """
  def empty_cart(cart) do
    Enum.each(cart.items, fn item -> put_back(item, cart.shelf) end)
  end
end
'''


def run(folder: Path, module: str, *arguments: str) -> str:
    """What a module of the recipe prints, run in `folder` as its users run it."""
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=folder, check=True, env=environment, capture_output=True, text=True).stdout


def of(path: str, content: str, kind: str) -> list[pairs.Pair]:
    return [pair for pair in pairs.of_file(path, content.encode(), random.Random(1)) if pair.kind == kind]


def test_documentation_leads_to_code_without_it() -> None:
    found = {pair.query: pair.answer for pair in of("shop/wallet.py", PYTHON, "doc")}
    assert set(found) == {
        "Keeps the coins of one customer together.",
        "Take the money for an invoice out of the wallet.",
    }
    body = found["Take the money for an invoice out of the wallet."]
    assert "self.coins -=" in body
    assert "out of the wallet" not in body
    assert "a comment that is" not in body


@pytest.mark.parametrize(
    ("path", "content", "query", "code"),
    [
        ("shop.go", GO, "Checkout sums up the cart and asks the customer to pay.", "AskToPay"),
        ("shop.ex", ELIXIR, "Removes everything that was put into the cart before.", "put_back"),
    ],
)
def test_comments_above_a_definition_are_its_documentation(path: str, content: str, query: str, code: str) -> None:
    [pair] = of(path, content, "doc")
    assert pair.query == query
    assert code in pair.answer
    assert query[:20] not in pair.answer


def test_what_documents_is_told_by_line() -> None:
    parsed = parse(GO.encode(), "shop.go")
    [(symbol, _, lines)] = pairs.documented(parsed, GO.split("\n"))
    assert (symbol.name, list(lines)) == ("Checkout", [2])


def test_a_name_leads_to_its_body_without_it() -> None:
    names = {pair.query: pair.answer for pair in of("shop/wallet.py", PYTHON, "name")}
    assert "pay invoice" in names
    assert "pay_invoice" not in names["pay invoice"]


@pytest.mark.parametrize(
    "said",
    [
        "Copyright 2024 by the authors of this file",
        "TODO: write what this does one day",
        "x = 1; y = 2 * (3 + 4)",
        "short",
    ],
)
def test_what_is_no_prose_is_no_question(said: str) -> None:
    assert pairs.prose([said]) is None


def repository(folder: Path, name: str, licence: str, files: dict[str, str]) -> Path:
    root = folder / name
    write(root, {"LICENSE": licence, **files})
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy"
GPL = "GNU GENERAL PUBLIC LICENSE Version 3"


def test_only_permissive_repositories_outside_the_benchmark_are_read(tmp_path: Path) -> None:
    for name, licence in (
        ("a+free", MIT),
        ("b+copyleft", GPL),
        ("pallets+Flask", MIT),
        ("c+none", "All rights reserved"),
    ):
        repository(tmp_path, name, licence, {"a.py": PYTHON})
    found = {source.name: source.licence for source in sources.sources(tmp_path, excluded())}
    assert found == {"a+free": "MIT", "b+copyleft": None, "c+none": None}


def test_commits_lead_to_what_they_changed(tmp_path: Path) -> None:
    root = repository(tmp_path, "a+shop", MIT, {"wallet.py": PYTHON})
    (root / "wallet.py").write_text(PYTHON.replace("-= invoice.amount", "-= tax + invoice.amount"))
    git(root, "commit", "-q", "-a", "-m", "fix: charge the tax of an invoice too (#12)")
    [source] = sources.sources(tmp_path, [])
    [pair] = pairs.of_commits(source)
    assert pair.query == "charge the tax of an invoice too"
    assert pair.path == "wallet.py"
    assert "tax + invoice.amount" in pair.answer


def test_the_whole_extraction_leaves_copies_of_the_benchmark_out(tmp_path: Path) -> None:
    many = "".join(f"def function_number_{i}(first, second):\n    return first * {i} + second\n\n\n" for i in range(20))
    repository(tmp_path / "from", "a+shop", MIT, {"wallet.py": PYTHON, "copied.py": many})
    write(tmp_path / "asked", {"theirs.py": many})
    run(tmp_path, "training.extract", "from", "work", "--benchmark", "asked")
    rows = [json.loads(line) for line in (tmp_path / "work/pairs/a+shop.jsonl").read_text().splitlines()]
    assert {row[1] for row in rows if row[1]} == {"wallet.py"}
    assert (tmp_path / "work/licences.tsv").read_text() == "a+shop\tMIT\n"


def test_the_vocabulary_is_what_several_repositories_have() -> None:
    counted = [Counter(cart=5, rare=9), Counter(cart=1, other=2), Counter(cart=1, other=1)]
    assert dataset.choose(counted, 10) == [("cart", 7), ("other", 3)]
    assert dataset.choose(counted, 1) == [("cart", 7)]


def test_training_sees_texts_as_the_product_does() -> None:
    """The weighted sums of `training.embedding` and of `recollect.index` are the same numbers."""
    model = embed.model()
    vocabulary = embed.Vocabulary.read(embed._FOLDER / "vocabulary.txt")
    assert len(vocabulary) == len(model.scale)
    ids, counts = dataset._rows(vocabulary, {"parse": 3, "zzyzxq": 1})
    mine = (np.log1p(np.array(counts, np.float32))[:, None] * np.stack([model.row(i) for i in ids])).sum(0)
    theirs = terms.count_terms(["parse parse parse zzyzxq"]).body[0].astype(np.float32)
    assert np.allclose(mine, theirs, atol=0.02)
    ids, weights = dataset._path_rows(vocabulary, "shop/wallet_store.py")
    assert np.allclose(
        (np.array(weights)[:, None] * np.stack([model.row(i) for i in ids])).sum(0),
        model.path("shop/wallet_store.py"),
        atol=1e-4,
    )


def test_subjects_of_commits_become_questions_about_an_older_work_tree(tmp_path: Path) -> None:
    root = tmp_path / "from" / "someone+shop"
    repository(tmp_path / "from", "someone+shop", MIT, {"shop.py": PYTHON, "tests/test_shop.py": ""})
    for number in range(12):
        write(root, {"shop.py": f"{PYTHON}\n# change {number}\n"})
        git(root, "add", ".")
        subject = (
            "bump version" if number == 5 else f"fix: let the wallet pay invoice number {'i' * number}x twice (#12)"
        )
        git(root, "commit", "-qm", subject)
    said = run(tmp_path, "training.subjects", "from", "asked")
    assert "11 questions about 1 repositories" in said
    questions = [json.loads(line) for line in (tmp_path / "asked" / "queries.jsonl").read_text().splitlines()]
    assert {question["query"][:27] for question in questions} == {"let the wallet pay invoice "}
    assert all(question["targets"] == [{"path": "shop.py", "files": ["shop.py"]}] for question in questions)
    laid_out = tmp_path / "asked" / "src" / "someone+shop"
    assert (laid_out / "shop.py").read_text() == PYTHON  # before all that is asked
    assert run_git(("status", "--short"), laid_out).stdout == b""
