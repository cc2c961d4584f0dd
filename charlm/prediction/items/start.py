"""Where items begin and end: after a boundary, from a fresh state."""

import numpy as np
import torch

from charlm.corpus.vocabulary import Ids
from charlm.errors import CharlmError
from charlm.models.openings import Opening
from charlm.prediction.generated_ids import read_opening
from charlm.prediction.items.draws import ItemStart
from charlm.prediction.predictor import Predictor

_NEWLINE = "\n"


def boundary_of(predictor: Predictor) -> int:
    """Return the id of the character that ends each item: the newline for running text."""
    if (records := predictor.records) is not None:
        return records.boundary_id(predictor.vocabulary)
    ids = predictor.vocabulary.encode_text(_NEWLINE, unknown="skip")
    if not len(ids):
        raise CharlmError("the model has no newline, which ends an item; omit --items")
    return int(ids[0])


def separator_of(predictor: Predictor) -> str:
    """Return the separator that is written after each item."""
    return _NEWLINE if predictor.records is None else predictor.records.written_as


def item_start(predictor: Predictor, prefix: Ids, boundary: int) -> ItemStart:
    """Return the states after a boundary and a prefix.

    A model of records begins with the boundary, after the zero state. One of running text is hardly
    ever in this state: it begins after passages of its text that end with a newline, if it has any.
    """
    opening, model = predictor.opening, predictor.model
    if opening is not None:
        at_boundary = (opening.ids[-1] == boundary).nonzero().flatten().tolist()
        opening = opening.columns(at_boundary) if at_boundary else None
    if opening is None:
        begin = [] if model.boundary is not None else [boundary]
        opening = Opening.of_prefix(model, np.array(begin, np.int64))
    read = torch.from_numpy(prefix.astype(np.int64)).to(model.device)
    columns = read.unsqueeze(1).expand(-1, opening.ids.shape[1])
    return ItemStart(
        *read_opening(model, Opening(torch.cat([opening.ids, columns]), opening.state))
    )
