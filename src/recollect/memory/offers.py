"""What of a session that ends may be worth remembering: the assistant's own sentences that decide something. Pure.

Words decide, no model: what they find is offered to the next session, which judges it. A transcript is
full of text that others wrote (files, pages, tools, other agents), and whoever wrote that may want it
remembered. Hence only what `transcripts` and `prose` call the assistant's own is looked at, and of that
nothing that repeats what somebody else had written before in the same transcript. What is translated or
reworded is not recognised.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from recollect.memory import prose
from recollect.memory.transcripts import OTHER, OWN, USER, messages

MOST: Final = 10
_CANDIDATES: Final = 40  # the last ones, which are compared with what others wrote
_MOST_CHARACTERS: Final = 300_000  # of the assistant's messages that are looked at
_LONGEST_MESSAGE: Final = 100_000  # characters; no prose is as long
_SHORTEST, LONGEST = 20, 300  # characters of a sentence
_RUNS: Final = {  # words in a row that a sentence may not have in common with a text of this source; a user's words
    OTHER: 5,  # are often taken up in a decision
    USER: 7,
}
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'(\0])")
_DECIDES: Final = re.compile(
    r"^(?:decision|decided|convention|agreed|lesson(?: learn(?:ed|t))?|gotcha|root cause|rule)\b\s*[:–-]"
    r"|\b(?:we|i|you)(?:'ve| have)? (?:decided|agreed|settled|chose)\b|\bwe(?:'ll| will| are going to) (?:use|keep|go with|stick)\b"
    r"|\bgoing with\b|\bthe (?:root cause|real problem|bug) (?:was|is)\b|\bit turns? out\b|\bturned out\b",
    re.IGNORECASE,
)
_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # written without spaces: each letter counts as a word
_WORD: Final = re.compile(rf"[^\W_{_CJK}]+|[{_CJK}]")
_UNSEEN: Final = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff]")
_BETWEEN: Final = re.compile(r"<[^<>\n]{1,60}>|^[ \t]{0,12}\d{1,7}(?=→|\t|\|)|\\[nrt]", re.MULTILINE)


def of_transcript(transcript: str) -> list[str]:
    """Sentences to offer, the last ones of a transcript."""
    return decisions(messages(transcript))


def decisions(said: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences of the assistant that read like something decided or learned and are nobody else's.

    `said`: (whose it is, text) in order.
    """
    numbered = list(enumerate(said))
    found: dict[str, int] = {}  # sentence → number of the message that said it first; the last ones first
    left = _MOST_CHARACTERS
    for number, (source, text) in reversed(numbered):
        if source != OWN or len(text) > _LONGEST_MESSAGE:
            continue
        left -= len(text)
        if left < 0 or len(found) >= _CANDIDATES:
            break
        found.update((sentence, number) for sentence in reversed(_deciding(text)))
    if not found:
        return []
    repeated = frozenset[str]()
    for whose, run in _RUNS.items():
        texts = ((number, text) for number, (source, text) in numbered if source == whose)
        repeated |= _repeated(found, texts, run)
    return [sentence for sentence in found if sentence not in repeated][:MOST][::-1]


def _deciding(text: str) -> list[str]:
    found: list[str] = []
    for paragraph in prose.paragraphs(text):
        for raw in _SENTENCE.split(paragraph):
            if prose.is_reported(raw):
                break  # and what follows may be reported too
            sentence = " ".join(raw.strip(" \t-*•>#_").replace("**", "").replace("__", "").split())
            fits = _SHORTEST <= len(sentence) <= LONGEST and not sentence.endswith("?")
            if fits and "\0" not in sentence and _DECIDES.search(sentence):
                found.append(sentence)
    return found


def _repeated(candidates: dict[str, int], others: Iterable[tuple[int, str]], run: int) -> frozenset[str]:
    """Those of the candidates (sentence → number of its message) of which others wrote a part before."""
    runs: dict[tuple[str, ...], list[str]] = {}
    for sentence in candidates:
        words = _words(sentence)
        size = min(run, len(words))
        for at in range(len(words) - size + 1):
            runs.setdefault(tuple(words[at : at + size]), []).append(sentence)
    vocabulary = frozenset(word for words in runs for word in words)
    sizes = sorted({len(words) for words in runs})
    last = max(candidates.values())
    found: set[str] = set()
    for number, text in others:
        if number > last:
            break
        for stretch in _stretches(_words(text), vocabulary, max(1, sizes[0]) if sizes else 1):
            for size in sizes:
                for at in range(len(stretch) - size + 1):
                    for sentence in runs.get(tuple(stretch[at : at + size]), ()):
                        if number < candidates[sentence]:
                            found.add(sentence)
    return frozenset(found)


def _stretches(words: list[str], vocabulary: frozenset[str], least: int) -> Iterable[list[str]]:
    """The longest stretches of words of the vocabulary, of at least so many."""
    if len(words) < least:
        return
    known = bytes(map(vocabulary.__contains__, words))
    at = known.find(b"\1" * least)
    while at >= 0:
        end = known.find(b"\0", at)
        end = len(words) if end < 0 else end
        yield words[at:end]
        at = known.find(b"\1" * least, end)


def _words(text: str) -> list[str]:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text))
    if "\\" in text or "<" in text or "\t" in text or "→" in text or "|" in text:
        text = _BETWEEN.sub(" ", text)
    return _WORD.findall(text.lower())
