"""The character-level language model of 6.2.3: labels, loss, perplexity, prediction.

The chapters are named in support/textbook.py, and their sections cited by number.
"""

import math
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.config.schema import Config, ModelConfig, TrainingConfig
from charlm.corpus.batches import RandomBatches, SequentialBatches
from charlm.corpus.corpus import Split
from charlm.corpus.vocabulary import UNKNOWN_TYPE, Ids, Vocabulary, code_points
from charlm.models.language_model import LanguageModel
from charlm.prediction.generation import generate
from charlm.prediction.perplexity import perplexity
from charlm.prediction.predictor import Predictor
from charlm.prediction.scoring import evaluate_split
from charlm.training.trainer import Trainer

# 5. 6.2.3: a character-level language model of 想要有直升机

PHRASE = "想要有直升机"


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(tuple(sorted(code_points(PHRASE).tolist())))


@pytest.fixture
def phrase(vocabulary: Vocabulary) -> Ids:
    return vocabulary.encode_text(PHRASE)


@pytest.fixture
def small_model(vocabulary: Vocabulary) -> LanguageModel:
    config = ModelConfig(cell="rnn", hidden_size=16, embedding_size=None)
    model = LanguageModel(config, len(vocabulary))
    model.initialize(torch.Generator().manual_seed(0))
    return model


def test_6_2_3_labels_are_shifted_by_one(vocabulary: Vocabulary, phrase: Ids) -> None:
    """The labels are the text from its second character."""
    batch = next(RandomBatches(phrase, batch_size=1, sequence_length=5, seed=0))
    assert vocabulary.decode(batch.inputs[:, 0].tolist()) == "想要有直升"
    assert vocabulary.decode(batch.targets[:, 0].tolist()) == "要有直升机"


@pytest.mark.parametrize("sampling", [RandomBatches, SequentialBatches])
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_6_2_3_labels_for_both_samplings(
    sampling: type[RandomBatches] | type[SequentialBatches],
    length: int,
    vocabulary: Vocabulary,
    phrase: Ids,
) -> None:
    """Both samplings shift the labels by one, for any length."""
    batches = sampling(phrase, batch_size=1, sequence_length=length, seed=0)
    for batch in islice(batches, 20):
        inputs = vocabulary.decode(batch.inputs[:, 0].tolist())
        labels = vocabulary.decode(batch.targets[:, 0].tolist())
        place = PHRASE.index(inputs)
        assert labels == PHRASE[place + 1 : place + 1 + len(inputs)]


def test_6_2_3_loss_depends_on_the_past(small_model: LanguageModel, phrase: Ids) -> None:
    """The loss at step 3 depends on the first three characters only."""
    inputs, labels = torch.tensor(phrase[:-1].tolist()), torch.tensor(phrase[1:].tolist())

    def losses(characters: Tensor) -> Tensor:
        logits, _ = small_model(characters.unsqueeze(1), small_model.initial_state(1))
        return F.cross_entropy(logits[:, 0], labels, reduction="none")

    expected = losses(inputs)
    for place in range(5):
        changed = inputs.clone()
        changed[place] = labels[4]  # 机 for 想, 要, 有, 直 or 升
        after = losses(changed)
        assert torch.equal(after[:place], expected[:place])  # no earlier output changes
        assert (after[2] == expected[2]) == (place > 2)


def test_6_2_3_overfitted_model(
    small_model: LanguageModel, vocabulary: Vocabulary, phrase: Ids
) -> None:
    """An overfitted model generates the phrase."""
    batches = RandomBatches(phrase, batch_size=1, sequence_length=5, seed=0)
    training = TrainingConfig(steps=100, learning_rate=0.02, schedule="constant", warmup_steps=0)
    predictor = Predictor(small_model, vocabulary, Config())
    before = "".join(generate(predictor, "想", greedy=True, length=5))
    reports = list(Trainer(small_model, batches, training, clock=lambda: 0.0))
    after = "".join(generate(predictor, "想", greedy=True, length=5))
    assert before != "要有直升机"
    assert after == "要有直升机"
    assert reports[0].loss == pytest.approx(math.log(7), abs=0.3)  # 6 characters, 1 unknown
    assert reports[-1].loss < 0.05


# 12. 6.4: perplexity, generation from a prefix


def test_6_4_bounds_of_perplexity() -> None:
    """Perplexity is 1 at best, and the vocabulary size for a uniform guess."""
    model = LanguageModel(ModelConfig(cell="rnn", hidden_size=8, embedding_size=None), 50)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    text = Split(np.full(200, 3), np.ones(50, np.uint8), np.zeros(0, UNKNOWN_TYPE))
    assert evaluate_split(model, text).perplexity == pytest.approx(50)  # zero logits
    model.b_q.data[3] = 1000.0  # sure, and right
    assert evaluate_split(model, text).perplexity == 1.0
    model.b_q.data[4] = 2000.0  # sure, and wrong
    assert evaluate_split(model, text).perplexity == math.inf


def test_6_4_definition_of_perplexity(
    small_model: LanguageModel, vocabulary: Vocabulary, phrase: Ids
) -> None:
    """Perplexity is exp of the mean cross-entropy."""
    ids = torch.tensor(phrase.tolist())
    logits, _ = small_model(ids[:-1].unsqueeze(1), small_model.initial_state(1))
    mean = F.cross_entropy(logits[:, 0], ids[1:]).item()
    text = Split(phrase, vocabulary.sizes, np.zeros(0, UNKNOWN_TYPE))
    assert evaluate_split(small_model, text).perplexity == pytest.approx(math.exp(mean))
    assert perplexity(mean) == math.exp(mean)


def test_6_4_prediction_from_a_prefix(small_model: LanguageModel, vocabulary: Vocabulary) -> None:
    """As the book predicts: the likeliest character follows, and is read in its turn."""
    predictor = Predictor(small_model, vocabulary, Config())
    text = vocabulary.encode_text("有直升").tolist()
    for _ in range(8):  # each time read the whole text again, from the initial state
        logits, _ = small_model(torch.tensor(text).unsqueeze(1), small_model.initial_state(1))
        logits[..., 0] = -math.inf  # the sign for unknown characters is never generated
        text.append(int(logits[-1, 0].argmax()))
    generated = "".join(generate(predictor, "有直升", greedy=True, length=8))
    assert "有直升" + generated == vocabulary.decode(text)
