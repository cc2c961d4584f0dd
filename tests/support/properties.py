"""How many inputs a property is tried with."""

from hypothesis import settings

_NUM_EXAMPLES_BY_DEFAULT = 100


def examples(number: int) -> settings:
    """Return settings that try a number of inputs, in proportion to the profile.

    `charlm`, which tries the same inputs each time, takes three fifths of the number; `explore`
    takes ten times as many.

    Call it where a test is decorated: the profile is loaded by then.
    """
    return settings(max_examples=number * settings().max_examples // _NUM_EXAMPLES_BY_DEFAULT)
