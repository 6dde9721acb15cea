"""Three repositories: file → content, and the commits made after the first: (subject, files that it changes)."""

from __future__ import annotations

from typing import Final

LEDGER: Final = {
    "ledger/__init__.py": '"""Double-entry bookkeeping."""\n\nfrom ledger.account import Account\nfrom ledger.posting import Posting\n',
    "ledger/account.py": '''"""Accounts and the tree that they form."""


class Account:
    """A place where money is: assets, liabilities, income, expenses."""

    def __init__(self, name, parent=None):
        self.name = name
        self.parent = parent
        self.children = []

    def full_name(self):
        """Names from the root down, joined by colons."""
        return self.name if self.parent is None else f"{self.parent.full_name()}:{self.name}"

    def balance(self, postings):
        """Sum of all postings to this account and those below it."""
        own = sum(posting.amount for posting in postings if posting.account is self)
        return own + sum(child.balance(postings) for child in self.children)
''',
    "ledger/posting.py": '''"""One line of a transaction."""


class Posting:
    def __init__(self, account, amount, currency="EUR"):
        self.account = account
        self.amount = amount
        self.currency = currency

    def inverted(self):
        """The same amount in the other direction."""
        return Posting(self.account, -self.amount, self.currency)
''',
    "ledger/transaction.py": '''"""Transactions: postings that must add up to zero."""

from ledger.posting import Posting


class UnbalancedError(ValueError):
    """The postings of a transaction do not add up."""


class Transaction:
    def __init__(self, date, payee, postings):
        self.date = date
        self.payee = payee
        self.postings = postings

    def validate(self):
        """Raise unless debits equal credits in every currency."""
        totals = {}
        for posting in self.postings:
            totals[posting.currency] = totals.get(posting.currency, 0) + posting.amount
        if any(totals.values()):
            raise UnbalancedError(totals)

    def reverse(self):
        return Transaction(self.date, self.payee, [posting.inverted() for posting in self.postings])
''',
    "ledger/importers/csv.py": '''"""Read a bank's statement from comma separated values."""

import csv

from ledger.transaction import Transaction


def read_statement(path, columns):
    """Yield a transaction per row; columns maps fields to headings."""
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            yield Transaction(row[columns["date"]], row[columns["payee"]], [])
''',
    "ledger/importers/base.py": '''"""What importers have in common."""


class Importer:
    """Turns a foreign file into transactions."""

    def identify(self, path):
        """Whether this importer understands a file."""
        raise NotImplementedError

    def deduplicate(self, transactions, known):
        """Leave out what was imported before."""
        seen = {(item.date, item.payee) for item in known}
        return [item for item in transactions if (item.date, item.payee) not in seen]
''',
    "ledger/currency.py": '''"""Exchange rates."""

RATES = {}


def convert(amount, source, target, date):
    """Amount in another currency at the rate of a day; the last known rate before it where there is none."""
    days = sorted(day for (day, a, b) in RATES if (a, b) == (source, target) and day <= date)
    if not days:
        raise LookupError(f"no rate from {source} to {target}")
    return amount * RATES[days[-1], source, target]
''',
    "ledger/report.py": '''"""Balance sheet and income statement as text."""


def balance_sheet(accounts, postings):
    lines = []
    for account in accounts:
        lines.append(f"{account.full_name():40}{account.balance(postings):12.2f}")
    return "\\n".join(lines)


def income_statement(accounts, postings, first, last):
    """Earnings and spending between two days."""
    wanted = [posting for posting in postings if first <= posting.date <= last]
    return balance_sheet(accounts, wanted)
''',
    "ledger/cli.py": '''"""The command line."""

import argparse

from ledger import report


def main():
    parser = argparse.ArgumentParser(prog="ledger")
    parser.add_argument("command", choices=["balance", "income", "import"])
    arguments = parser.parse_args()
    if arguments.command == "balance":
        print(report.balance_sheet([], []))
''',
    "tests/test_transaction.py": """from ledger.transaction import Transaction, UnbalancedError


def two_postings(amount):
    return [("cash", amount), ("shop", -amount)]


def test_an_unbalanced_transaction_is_refused():
    try:
        Transaction("2024-01-01", "shop", []).validate()
    except UnbalancedError:
        raise AssertionError
""",
}
HARBOR: Final = {
    "cmd/harbor/main.go": """package main

import "example.org/harbor/internal/server"

func main() {
	server.ListenAndServe(":5000")
}
""",
    "internal/server/server.go": """// Package server answers the registry's HTTP requests.
package server

import "net/http"

// ListenAndServe starts the registry on an address.
func ListenAndServe(address string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/", handleManifest)
	return http.ListenAndServe(address, withLogging(mux))
}
""",
    "internal/server/manifest.go": """package server

import "net/http"

// handleManifest serves and accepts image manifests by tag or digest.
func handleManifest(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		putManifest(w, r)
		return
	}
	w.Header().Set("Docker-Content-Digest", "")
}

func putManifest(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusCreated)
}
""",
    "internal/server/middleware.go": """package server

import (
	"log"
	"net/http"
	"time"
)

// withLogging writes a line per request with how long it took.
func withLogging(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		next.ServeHTTP(w, r)
		log.Println(r.Method, r.URL.Path, time.Since(started))
	})
}
""",
    "internal/auth/token.go": """// Package auth decides who may push and pull.
package auth

import "errors"

// ErrExpired is returned for a token whose time is over.
var ErrExpired = errors.New("token expired")

// Token is a signed claim to scopes.
type Token struct {
	Subject string
	Scopes  []string
	Expires int64
}

// Verify checks a token's signature and that it still holds.
func Verify(raw string, now int64) (*Token, error) {
	token := &Token{Subject: raw}
	if token.Expires < now {
		return nil, ErrExpired
	}
	return token, nil
}
""",
    "internal/storage/driver.go": """// Package storage keeps blobs.
package storage

import "io"

// Driver is what every place to keep blobs can do.
type Driver interface {
	Reader(digest string) (io.ReadCloser, error)
	Writer(digest string) (io.WriteCloser, error)
	Delete(digest string) error
}
""",
    "internal/storage/filesystem.go": """package storage

import (
	"io"
	"os"
	"path/filepath"
)

// Filesystem is a Driver over a directory.
type Filesystem struct{ Root string }

func (f Filesystem) path(digest string) string { return filepath.Join(f.Root, digest[:2], digest) }

// Reader opens a blob.
func (f Filesystem) Reader(digest string) (io.ReadCloser, error) { return os.Open(f.path(digest)) }

// Writer creates a blob.
func (f Filesystem) Writer(digest string) (io.WriteCloser, error) { return os.Create(f.path(digest)) }

// Delete removes a blob.
func (f Filesystem) Delete(digest string) error { return os.Remove(f.path(digest)) }
""",
    "internal/gc/collector.go": """// Package gc frees the space of what no manifest refers to.
package gc

import "example.org/harbor/internal/storage"

// Sweep deletes every blob that is not marked.
func Sweep(driver storage.Driver, all []string, marked map[string]bool) (int, error) {
	freed := 0
	for _, digest := range all {
		if !marked[digest] {
			if err := driver.Delete(digest); err != nil {
				return freed, err
			}
			freed++
		}
	}
	return freed, nil
}
""",
    "internal/storage/filesystem_test.go": """package storage

import "testing"

func TestFilesystemDelete(t *testing.T) {
	if err := (Filesystem{Root: t.TempDir()}).Delete("sha256"); err == nil {
		t.Fatal("deleted what is not there")
	}
}
""",
}
EASEL: Final = {
    "src/index.ts": 'export { Canvas } from "./canvas";\nexport { History } from "./history";\n',
    "src/canvas.ts": """import { Layer } from "./layer";

/** The drawing area: layers, from the lowest to the highest. */
export class Canvas {
  private layers: Layer[] = [];

  addLayer(layer: Layer): void {
    this.layers.push(layer);
  }

  /** Draw everything onto a context. */
  render(context: CanvasRenderingContext2D): void {
    for (const layer of this.layers) layer.paint(context);
  }
}
""",
    "src/layer.ts": """import { Shape } from "./shapes";

export class Layer {
  shapes: Shape[] = [];
  opacity = 1;
  hidden = false;

  paint(context: CanvasRenderingContext2D): void {
    if (this.hidden) return;
    context.globalAlpha = this.opacity;
    for (const shape of this.shapes) shape.draw(context);
  }
}
""",
    "src/shapes/index.ts": """/** What can be drawn. */
export interface Shape {
  draw(context: CanvasRenderingContext2D): void;
  contains(x: number, y: number): boolean;
}
""",
    "src/shapes/circle.ts": """import { Shape } from ".";

export class Circle implements Shape {
  constructor(private x: number, private y: number, private radius: number) {}

  draw(context: CanvasRenderingContext2D): void {
    context.arc(this.x, this.y, this.radius, 0, 2 * Math.PI);
  }

  contains(x: number, y: number): boolean {
    return Math.hypot(x - this.x, y - this.y) <= this.radius;
  }
}
""",
    "src/shapes/polygon.ts": """import { Shape } from ".";

export class Polygon implements Shape {
  constructor(private points: [number, number][]) {}

  draw(context: CanvasRenderingContext2D): void {
    for (const [x, y] of this.points) context.lineTo(x, y);
    context.closePath();
  }

  /** Even-odd rule: count the edges that a ray crosses. */
  contains(x: number, y: number): boolean {
    let inside = false;
    this.points.forEach(([ax, ay], i) => {
      const [bx, by] = this.points[(i + 1) % this.points.length];
      if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
    });
    return inside;
  }
}
""",
    "src/history.ts": """/** Undo and redo. */
export class History<State> {
  private past: State[] = [];
  private future: State[] = [];

  record(state: State): void {
    this.past.push(state);
    this.future = [];
  }

  undo(): State | undefined {
    const state = this.past.pop();
    if (state !== undefined) this.future.push(state);
    return this.past.at(-1);
  }

  redo(): State | undefined {
    const state = this.future.pop();
    if (state !== undefined) this.past.push(state);
    return state;
  }
}
""",
    "src/export/svg.ts": """import { Canvas } from "../canvas";

/** Save a drawing as scalable vector graphics. */
export function toSvg(canvas: Canvas, width: number, height: number): string {
  return `<svg width="${width}" height="${height}"></svg>`;
}
""",
    "src/input/pointer.ts": """/** Mouse, pen and touch as strokes. */
export function trackPointer(element: HTMLElement, onStroke: (x: number, y: number, pressure: number) => void): () => void {
  const listener = (event: PointerEvent) => onStroke(event.offsetX, event.offsetY, event.pressure);
  element.addEventListener("pointermove", listener);
  return () => element.removeEventListener("pointermove", listener);
}
""",
    "test/history.test.ts": """import { History } from "../src/history";

test("undo returns the state before", () => {
  const history = new History<number>();
  history.record(1);
  history.record(2);
  expect(history.undo()).toBe(1);
});
""",
}

REPOSITORIES: Final = {"ledger": LEDGER, "harbor": HARBOR, "easel": EASEL}
COMMITS: Final = {
    "ledger": [
        ("Round half to even like the tax office does", ["ledger/currency.py"]),
        ("Stop importing the same statement twice", ["ledger/importers/base.py"]),
        ("Show subtotals of parents", ["ledger/report.py", "ledger/account.py"]),
    ],
    "harbor": [
        ("Survive a power cut in the middle of an upload", ["internal/storage/filesystem.go"]),
        ("Refuse to run while a push is going on", ["internal/gc/collector.go"]),
    ],
    "easel": [
        ("Ignore the palm while a stylus is near", ["src/input/pointer.ts"]),
        ("Limit memory of long sessions", ["src/history.ts"]),
    ],
}
QUESTIONS: Final = [
    ("ledger", "how are debits and credits checked to be equal", "ledger/transaction.py"),
    ("ledger", "Transaction", "ledger/transaction.py"),
    ("ledger", "UnbalancedError", "ledger/transaction.py"),
    ("ledger", "account balance including subaccounts", "ledger/account.py"),
    ("ledger", "Account.full_name", "ledger/account.py"),
    ("ledger", "read bank statement csv", "ledger/importers/csv.py"),
    ("ledger", "avoid duplicates when importing", "ledger/importers/base.py"),
    ("ledger", "exchange rate conversion between currencies", "ledger/currency.py"),
    ("ledger", "rounding for the tax office", "ledger/currency.py"),
    ("ledger", "profit and loss between two dates", "ledger/report.py"),
    ("ledger", "parse command line arguments", "ledger/cli.py"),
    ("ledger", "test that unbalanced transactions are refused", "tests/test_transaction.py"),
    ("ledger", "posting.inverted", "ledger/posting.py"),
    ("ledger", "two_postings", "tests/test_transaction.py"),
    ("ledger", "tree of accounts with parent and children", "ledger/account.py"),
    ("harbor", "where does the http server start listening", "internal/server/server.go"),
    ("harbor", "log duration of each request", "internal/server/middleware.go"),
    ("harbor", "verify an authentication token", "internal/auth/token.go"),
    ("harbor", "ErrExpired", "internal/auth/token.go"),
    ("harbor", "garbage collection of unreferenced blobs", "internal/gc/collector.go"),
    ("harbor", "interface for blob storage backends", "internal/storage/driver.go"),
    ("harbor", "Filesystem", "internal/storage/filesystem.go"),
    ("harbor", "store blobs in a directory on disk", "internal/storage/filesystem.go"),
    ("harbor", "upload of an image manifest", "internal/server/manifest.go"),
    ("harbor", "power cut during upload", "internal/storage/filesystem.go"),
    ("harbor", "program entry point", "cmd/harbor/main.go"),
    ("harbor", "Driver", "internal/storage/driver.go"),
    ("easel", "undo and redo", "src/history.ts"),
    ("easel", "draw all layers onto the context", "src/canvas.ts"),
    ("easel", "layer opacity and visibility", "src/layer.ts"),
    ("easel", "Shape", "src/shapes/index.ts"),
    ("easel", "is a point inside a polygon", "src/shapes/polygon.ts"),
    ("easel", "Circle", "src/shapes/circle.ts"),
    ("easel", "save drawing as vector graphics", "src/export/svg.ts"),
    ("easel", "pen pressure and touch input", "src/input/pointer.ts"),
    ("easel", "palm rejection with a stylus", "src/input/pointer.ts"),
    ("easel", "memory limit in long sessions", "src/history.ts"),
    ("easel", "Canvas.render", "src/canvas.ts"),
    ("easel", "shapes interface", "src/shapes/index.ts"),
]
