"""A small text to train on, and one that each setting of a corpus reads differently."""

TEXT = (
    "The rain had stopped before the train came in. Nobody on the platform said a word, and "
    "nobody looked up when the doors opened; they had all been waiting for something else.\n"
) * 30

CACHED_TEXT = "Ein Satz,\r\nzwei Sätze.\rCafe\u0301 ﬁn 你好 xyz\n" * 20 + "q"
