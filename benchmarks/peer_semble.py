"""Runs in an environment that has `semble`: `python peer_semble.py index PATH MODEL` or `model FOLDER`."""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections import Counter
from pathlib import Path


def make_model(folder: Path, rows: int = 30_000, dimensions: int = 256) -> None:
    """A model2vec model with random vectors; its vocabulary are the commonest words of this interpreter's library."""
    import numpy as np
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    counts: Counter[str] = Counter()
    for path in list(Path(re.__file__).parent.parent.rglob("*.py"))[:3000]:
        counts.update(re.findall(r"[a-z]+|[0-9]", path.read_text(errors="ignore").lower()))
    letters = [chr(c) for c in range(33, 127)]
    words = ["[UNK]", "[PAD]", *letters, *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789")]
    words += [f"##{word}" for word, _ in counts.most_common(4000) if 1 < len(word) < 8]
    words += [word for word, _ in counts.most_common(rows * 2) if len(word) > 1]
    vocabulary = {word: number for number, word in enumerate(list(dict.fromkeys(words))[:rows])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    vectors = np.random.default_rng(0).standard_normal((len(vocabulary), dimensions)).astype(np.float32)
    StaticModel(vectors, tokenizer).save_pretrained(folder)


def index(path: str, model: str) -> None:
    from semble import SembleIndex

    started = time.perf_counter()
    made = SembleIndex.from_path(path, model_path=model)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"index_s": seconds, "peak_bytes": memory, "chunks": len(made.chunks)}))


if __name__ == "__main__":
    if sys.argv[1] == "model":
        make_model(Path(sys.argv[2]))
    else:
        index(sys.argv[2], sys.argv[3])
