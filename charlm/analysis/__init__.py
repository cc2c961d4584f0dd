"""Answer what a model knows: its score, its mistakes, what its units follow, what it copies.

Each module answers one question with pure functions. They read the scores of single characters,
which `characters` computes in one pass over a text.
"""
