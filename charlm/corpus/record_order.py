"""Put the records of a training split in a new order, as the text of an epoch."""

import numpy as np

from charlm.corpus.records import record_ends
from charlm.corpus.vocabulary import Ids

_RECORDS_AT_ONCE = 1 << 16
"""Number of records that are copied at once."""


def in_new_order(ids: Ids, boundary: int, random: np.random.Generator) -> Ids:
    """Return a split with its records in a random order, in memory."""
    ends = record_ends(ids, boundary)
    starts = np.append(0, ends[:-1]) + 1  # the first id is the boundary before all records
    order = random.permutation(len(ends))
    ordered = np.empty(len(ids), ids.dtype)
    ordered[0], filled = boundary, 1
    for begin in range(0, len(order), _RECORDS_AT_ONCE):
        chosen = order[begin : begin + _RECORDS_AT_ONCE]
        lengths = ends[chosen] + 1 - starts[chosen]
        first = np.repeat(starts[chosen] - (np.cumsum(lengths) - lengths), lengths)
        places = first + np.arange(len(first))
        ordered[filled : filled + len(places)] = ids[places]
        filled += len(places)
    return ordered
