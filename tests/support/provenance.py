"""Texts of words, and settings of tiny runs on them."""

import random

TINY = (
    "model.hidden_size=8",
    "training.steps=2",
    "training.precision=float32",
    "training.threads=1",
    "training.validation_rows=1",
    "generation.length=10",
)


def words(seed: int, length: int = 3000) -> str:
    """Return a text of random words: no passage of 50 characters stands in it twice."""
    source = random.Random(seed)
    letters = "abcdefghij \n"
    return "".join(source.choice(letters) for _ in range(length))
