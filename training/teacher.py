"""`python -m training.teacher WORK MODEL OUT.npz [--sentences N]`: vectors of the vocabulary and of questions, by a transformer.

MODEL: a folder that `transformers` can load (all-MiniLM-L6-v2 was used). Optional: training works without a teacher. Needs torch and
transformers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from training.dataset import KINDS, read


def encode(model: torch.nn.Module, tokenizer: object, texts: list[str], longest: int) -> np.ndarray:
    """Unit vectors, mean over tokens."""
    order = np.argsort([len(text) for text in texts])
    out = np.zeros((len(texts), model.config.hidden_size), np.float32)
    with torch.inference_mode():
        for at in range(0, len(order), 256):
            some = order[at : at + 256]
            given = tokenizer(
                [texts[i] for i in some], padding=True, truncation=True, max_length=longest, return_tensors="pt"
            )
            hidden = model(**given).last_hidden_state
            mask = given["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            out[some] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return out


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m training.teacher", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, default=60_000)
    given = parser.parse_args()
    torch.set_num_threads(2)
    tokenizer, model = AutoTokenizer.from_pretrained(given.model), AutoModel.from_pretrained(given.model).eval()
    words = [line.split()[0] for line in (given.work / "vocabulary.txt").read_text("utf-8").splitlines()]
    data = np.load(given.work / "dataset.npz")
    documented = np.flatnonzero(data["kind"] == KINDS.index("doc"))
    chosen = np.sort(np.random.default_rng(0).permutation(documented)[: given.sentences])
    queries = [pair.query for path in sorted((given.work / "pairs").glob("*.jsonl")) for pair in read(path)]
    if len(queries) != len(data["kept"]):
        raise SystemExit("WORK/pairs and WORK/dataset.npz are not of one run")
    texts = np.flatnonzero(data["kept"])[chosen]
    vectors = encode(model, tokenizer, [queries[i] for i in texts], 64)
    vectors -= vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.savez(given.out, words=encode(model, tokenizer, words, 16), rows=chosen, vectors=vectors.astype(np.float16))
    return 0


if __name__ == "__main__":
    sys.exit(main())
