"""A small text to train on."""

TEXT = (
    "The rain had stopped before the train came in. Nobody on the platform said a word, and "
    "nobody looked up when the doors opened; they had all been waiting for something else.\n"
) * 30
