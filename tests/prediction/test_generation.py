"""Generation: filters, seeds, the whole prefix, the stop text, and streams of characters."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.generation import LETTERS, generate_many, make_predictor, text_of

from charlm.config.schema import GenerationConfig, ModelConfig
from charlm.config.sections.generation import GenerationSettings
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import ConfigError, VocabularyError
from charlm.models.language_model import LanguageModel
from charlm.models.openings import Opening
from charlm.prediction.generated_ids import generate_ids, sample_generators
from charlm.prediction.generation import generate, generate_text
from charlm.prediction.next_character import choose, keep_min_p, keep_top_k, keep_top_p
from charlm.prediction.text_stream import StreamDecoder, truncate

LOGITS = torch.tensor([[2.0, 0.0, 1.0, -1.0], [0.0, 0.0, 0.0, 5.0]])


def kept(filtered: torch.Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero().flatten().tolist() for row in filtered]


def test_top_k() -> None:
    assert kept(keep_top_k(LOGITS, 1)) == [[0], [3]]
    assert kept(keep_top_k(LOGITS[:1], 2)) == [[0, 2]]
    assert kept(keep_top_k(LOGITS, 99)) == [[0, 1, 2, 3]] * 2


def test_top_p() -> None:
    probabilities = LOGITS[0].softmax(0)  # 0.644, 0.087, 0.237, 0.032
    assert probabilities[0] > 0.6
    assert kept(keep_top_p(LOGITS, 0.6)) == [[0], [3]]
    assert kept(keep_top_p(LOGITS[:1], 0.7)) == [[0, 2]]
    assert kept(keep_top_p(LOGITS, 1e-9)) == [[0], [3]]


def test_min_p() -> None:
    assert kept(keep_min_p(LOGITS, 0.3)) == [[0, 2], [3]]
    assert kept(keep_min_p(LOGITS, 1.0)) == [[0], [3]]


@given(st.integers(0, 2**31), st.integers(1, 9), st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_filters_keep_likeliest(seed: int, k: int, p: float, fraction: float) -> None:
    """Filters change no logit that they keep, and keep the likeliest."""
    logits = torch.randn(3, 9, generator=torch.Generator().manual_seed(seed)) * 3
    for filtered in (keep_top_k(logits, k), keep_top_p(logits, p), keep_min_p(logits, fraction)):
        alive = filtered.isfinite()
        assert torch.equal(filtered[alive], logits[alive])
        assert alive.gather(1, logits.argmax(1, keepdim=True)).all()


def test_sampling_follows_the_probabilities(random: torch.Generator) -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0]]).repeat(20_000, 1)
    for temperature in (0.5, 1.0, 2.0):
        config = GenerationConfig(temperature=temperature)
        uniforms = torch.rand(20_000, dtype=torch.float64, generator=random)
        drawn = torch.bincount(choose(logits, config, uniforms), minlength=3) / 20_000
        torch.testing.assert_close(drawn, (logits[0] / temperature).softmax(0), atol=0.015, rtol=0)


@pytest.mark.parametrize("keys", [{"greedy": True}, {"temperature": 0.0}, {"temperature": 1e-30}])
def test_greedy_is_the_likeliest(keys: dict[str, Any]) -> None:
    config = GenerationConfig.model_validate(keys)
    assert choose(LOGITS, config, torch.rand(2).double()).tolist() == [0, 3]


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_excluded_ids_are_never_chosen(seed: int, k: int) -> None:
    """Ids that a filter excludes are not chosen, even at the ends of [0, 1)."""
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
    allowed = keep_top_k(logits.double(), k).isfinite()
    for uniform in (0.0, 1 - 2**-53):
        ids = choose(logits, GenerationConfig(top_k=k), torch.full((4,), uniform).double())
        assert allowed.gather(1, ids.unsqueeze(1)).all()


def test_the_same_seed_gives_the_same_text() -> None:
    predictor = make_predictor()
    assert text_of(predictor, "a") == text_of(predictor, "a")
    assert text_of(predictor, "a") != text_of(predictor, "a", seed=1)
    assert len({"".join(generate(predictor, "a", length=40)) for _ in range(4)}) > 1


def test_short_text_begins_longer_one() -> None:
    """A shorter text is the beginning of a longer one."""
    predictor = make_predictor()
    assert text_of(predictor, "ab", length=60).startswith(text_of(predictor, "ab", length=20))
    assert len(text_of(predictor, "ab", length=60)) == 60


def test_prefix_conditions_the_state() -> None:
    """The whole prefix is read, and its last character once."""
    predictor = make_predictor(length=1)
    prefix = "abcdefgh" * 100 + "a"
    ids = torch.from_numpy(LETTERS.encode_text(prefix).astype(np.int64)).unsqueeze(1)
    model = predictor.model
    with torch.no_grad():
        logits, state = model(ids, model.initial_state(1))
        first = int(logits[-1, 0, 1:].argmax()) + 1
        logits, _ = model(torch.tensor([[first]]), state)
        second = int(logits[0, 0, 1:].argmax()) + 1
    assert text_of(predictor, prefix, greedy=True, length=2) == LETTERS.decode([first, second])


def test_early_prefix_character_matters() -> None:
    """The first character of a prefix changes the logits after it."""
    predictor = make_predictor()
    steps = []
    for start in "ab":
        prefix = LETTERS.encode_text(start + "c" * 3)
        logits, _ = predictor.model(
            torch.from_numpy(prefix.astype(np.int64)).unsqueeze(1), predictor.model.initial_state(1)
        )
        steps.append(logits[-1])
    assert not torch.equal(*steps)


def test_unknown_symbol_is_never_generated() -> None:
    predictor = make_predictor()
    assert isinstance(predictor.model, LanguageModel)
    predictor.model.b_q.data[0] = 100.0  # the model would choose nothing else
    assert "\N{REPLACEMENT CHARACTER}" not in text_of(predictor, "a", length=200)
    assert "\N{REPLACEMENT CHARACTER}" not in text_of(predictor, "a", greedy=True)


def test_unknown_characters_of_the_prefix() -> None:
    predictor = make_predictor()
    with pytest.raises(VocabularyError, match=r"'雨' U\+96E8 .*character 3 .*--unknown"):
        text_of(predictor, "ab雨")
    with pytest.raises(VocabularyError, match=r" contain U\+0007"):
        text_of(predictor, "\a")
    assert text_of(predictor, "a雨b", unknown="skip") == text_of(predictor, "ab")
    mapped = LETTERS.encode_text("a雨b", "map")
    assert mapped.tolist() == [LETTERS.encode_text("a")[0], 0, LETTERS.encode_text("b")[0]]
    assert len(text_of(predictor, "a雨b", unknown="map")) == 40
    assert text_of(predictor, "雨", unknown="skip") == text_of(predictor, "")


def test_no_prefix_follows_a_newline() -> None:
    """Without a prefix the text follows a newline, or else a space, or any character."""
    predictor = make_predictor()
    assert text_of(predictor, "") == text_of(predictor, "\n")
    no_lines = make_predictor(Vocabulary(tuple(map(ord, " ab"))))
    assert text_of(no_lines, "") == text_of(no_lines, " ")
    assert len(text_of(make_predictor(Vocabulary(tuple(map(ord, "xyz")))))) == 40


def test_options_override_the_config() -> None:
    """Options override the config of the model; invalid ones are named."""
    predictor = make_predictor(length=7, prefix="abc")
    assert len("".join(generate(predictor))) == 7
    assert "".join(generate(predictor, seed=3)) == "".join(generate(predictor, "abc", seed=3))
    with pytest.raises(ConfigError, match=r"top_p.*temperature|temperature.*top_p"):
        generate(predictor, "a", top_p=2.0, temperature=-1.0)
    with pytest.raises(ConfigError, match="length"):
        generate(predictor, "a", length=0)


def test_samples_side_by_side() -> None:
    predictor = make_predictor()
    texts = generate_many(predictor, "ab", num_samples=5, seed=0, length=30)
    assert [len(text) for text in texts] == [30] * 5
    assert len(set(texts)) == 5
    greedy = generate_many(predictor, "ab", num_samples=3, greedy=True, length=30)
    assert set(greedy) == {text_of(predictor, "ab", greedy=True, length=30)}


def test_characters_come_one_at_a_time() -> None:
    stream = generate(make_predictor(), "a", length=5, seed=0)
    assert [len(piece) for piece in stream] == [1] * 5


@given(st.text("ab", max_size=30), st.text("ab", min_size=1, max_size=4), st.integers(1, 4))
def test_stop_ends_text_before_it(text: str, stop: str, size: int) -> None:
    """The text ends before the first occurrence of the stop text."""
    pieces: Iterator[str] = (text[i : i + size] for i in range(0, len(text), size))
    assert "".join(truncate(pieces, stop)) == text.partition(stop)[0]


def test_stop_delays_only_its_beginning() -> None:
    """Only pieces that may begin the stop text are delayed."""
    seen: list[str] = []

    def letters() -> Iterator[str]:
        for letter in "xxabyab!":
            seen.append(letter)
            yield letter

    stream = truncate(letters(), "ab!")
    assert next(stream) == "x"
    assert seen == ["x"]
    assert "".join(stream) == "xaby"


def test_stop_in_generation() -> None:
    predictor = make_predictor()
    text = text_of(predictor, "a")
    stop = text[10:12]
    assert text_of(predictor, "a", stop=stop) == text.partition(stop)[0]
    many = generate_many(predictor, "a", num_samples=3, seed=0, length=40)
    stopped = generate_many(predictor, "a", num_samples=3, seed=0, length=40, stop=b"a")
    assert stopped == [t.partition("a")[0] for t in many]


@given(st.text(max_size=20))
def test_bytes_stream_as_whole_characters(text: str) -> None:
    data = text.encode("utf-8", "replace")
    decoder = StreamDecoder(Vocabulary.of_bytes())
    pieces = [decoder.decode([byte]) for byte in data] + [decoder.decode([], final=True)]
    assert "".join(pieces) == data.decode()
    assert all(
        "\N{REPLACEMENT CHARACTER}" not in piece or "\N{REPLACEMENT CHARACTER}" in text
        for piece in pieces
    )


def test_byte_model_takes_any_prefix() -> None:
    predictor = make_predictor(Vocabulary.of_bytes())
    assert isinstance(text_of(predictor, "雨\N{PILE OF POO}"), str)


def test_global_randomness_is_unchanged() -> None:
    """Generation does not use the global random state."""
    before = torch.get_rng_state()
    text_of(make_predictor(), "a", seed=None)
    assert torch.equal(torch.get_rng_state(), before)


def test_ids_are_in_the_vocabulary() -> None:
    predictor = make_predictor()
    config = GenerationConfig(length=50, top_k=3, top_p=0.9, min_p=0.01, temperature=1.5)
    opening = Opening.of_prefix(predictor.model, LETTERS.encode_text("ab"))
    for ids in generate_ids(predictor.model, opening, config, sample_generators(3, 4), forbidden=0):
        assert ids.shape == (4,)
        assert ((ids >= 1) & (ids < len(LETTERS))).all()


FILTERS: list[dict[str, Any]] = [
    {},
    {"greedy": True},
    {"temperature": 0.3},
    {"top_k": 3},
    {"top_p": 0.6},
    {"min_p": 0.2},
    {"temperature": 1.7, "top_k": 7, "top_p": 0.8, "min_p": 0.05},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize(("num_layers", "hidden_size"), [(1, 32), (3, 12)])
@pytest.mark.parametrize("cell", ["rnn", "relu", "gru", "lstm", "mogrifier"])
def test_kernels_generate_as_equations_do(
    cell: str, num_layers: int, hidden_size: int, filters: dict[str, Any]
) -> None:
    """The same numbers drawn, the same characters chosen; also past a stretch of the kernels."""
    keys = {"cell": "rnn", "nonlinearity": "relu"} if cell == "relu" else {"cell": cell}
    sizes = {"num_layers": num_layers, "hidden_size": hidden_size, "embedding_size": 6}
    fused = LanguageModel(ModelConfig.model_validate(keys | sizes), len(LETTERS))
    fused.initialize(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.mul_(1.3)  # far from a guess
    equations = LanguageModel(
        ModelConfig.model_validate(keys | sizes | {"implementation": "equations"}), len(LETTERS)
    )
    equations.load_state_dict(fused.state_dict())
    config = GenerationConfig(length=70, **filters)
    written = [
        torch.stack(
            list(
                generate_ids(
                    model,
                    Opening.of_prefix(model, LETTERS.encode_text("abc")),
                    config,
                    sample_generators(5, 3),
                    0,
                )
            )
        )
        for model in (fused, equations)
    ]
    assert torch.equal(*written)
    assert filters.get("greedy") or len(torch.unique(written[0])) > 2


def test_text_is_generated_in_float32() -> None:
    """The precision of training does not change the generated text."""
    predictor = make_predictor()
    texts = []
    for precision in ("float32", "bfloat16"):
        predictor.model.precision = precision
        texts.append(generate_many(predictor, "ab", num_samples=64, seed=0, length=60))
    assert texts[0] == texts[1]


def test_generated_text_is_a_string() -> None:
    """It is the text that `generate` yields in pieces, without the prefix."""
    predictor = make_predictor()
    text = generate_text(predictor, "abc", length=30, seed=3, temperature=0.5)
    pieces = generate(predictor, "abc", length=30, seed=3, temperature=0.5)
    assert text == "".join(pieces)
    assert len(text) == 30
    assert generate_text(predictor, "abc", length=30, seed=3, temperature=0.5, stop=text[4])
    assert text[4] not in generate_text(
        predictor, "abc", length=30, seed=3, temperature=0.5, stop=text[4]
    )


def test_a_call_may_set_all_generation_keys() -> None:
    """Each key of the section but the prefix, which is an argument, is a typed setting."""
    keys = set(GenerationConfig.model_fields) - {"prefix"}
    assert set(GenerationSettings.__annotations__) == keys
