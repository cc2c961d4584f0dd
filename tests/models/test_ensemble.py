"""N-grams, ensembles and dynamic evaluation: normalised, causal, the same in Python and C++."""

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.ensembles import SIZE, make_member, part_of, repetitive, some_ids
from support.kernels import needs_compiler
from support.properties import examples
from support.reference_ngrams import ReferenceNGrams
from typer.testing import CliRunner

from charlm import evaluate, generate, load
from charlm.cli.main import app
from charlm.config.schema import Config, EnsembleConfig, ModelConfig
from charlm.files.untrusted import InvalidDataError
from charlm.models.ensemble import AnyModel, Ensemble
from charlm.models.language_model import LanguageModel
from charlm.models.mixture_fit import fit_mixture
from charlm.models.ngrams import KernelNGrams, NGrams, NumpyNGrams, first_weights, make_ngrams
from charlm.prediction import dynamic
from charlm.prediction.dynamic import DynamicEvaluation, Rates
from charlm.prediction.scoring import total_nats
from charlm.runs.folder import RunFolder

CONFIG = Config(
    model=ModelConfig(hidden_size=16, embedding_size=8),
    ensemble=EnsembleConfig(members=2, ngram_order=3),
)
"""That of the fixture `ensemble`."""
KINDS = [NumpyNGrams, pytest.param(KernelNGrams, marks=needs_compiler)]


def log_probabilities(steps: int, members: int, seed: int = 0) -> np.ndarray:
    logits = torch.randn(steps, members, SIZE, generator=torch.Generator().manual_seed(seed))
    return logits.log_softmax(2).numpy()


@pytest.mark.parametrize("order", [0, 1, 4])
@pytest.mark.parametrize("members", [0, 2])
@pytest.mark.parametrize("never", [None, 0])
@pytest.mark.parametrize("kind", KINDS)
def test_counts_mix_as_the_reference(
    kind: type[NGrams], order: int, members: int, never: int | None
) -> None:
    """The kernels and numpy count and mix as the equations do."""
    before, text = some_ids(1), some_ids(2, order + 80)
    before = before[before != never]
    text[: min(order, 2)] = -1  # the text begins here
    given = log_probabilities(80, members)
    found = []
    for one in (kind, ReferenceNGrams):
        ngrams, weights = one(order, SIZE), first_weights(order, members)
        ngrams.count(np.concatenate([np.full(order, -1), before]))
        frozen = ngrams.mix(text, given, weights)
        online = ngrams.mix(text, given, weights, rate=0.05, counts=True)
        found.append((frozen, online, weights, ngrams.mix(text, given, weights)))
    for compiled, meant in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, meant, atol=1e-4)


@given(st.integers(0, 4), st.integers(0, 3), st.integers(0, 10_000), st.integers(0, 200))
@examples(60)
def test_mixture_is_a_distribution(order: int, members: int, seed: int, length: int) -> None:
    ngrams = make_ngrams(order, SIZE)
    ngrams.count(np.concatenate([np.full(order, -1), some_ids(seed, length)]))
    random = np.random.default_rng(seed)
    weights = first_weights(order, members) * random.uniform(0, 2, (order + 1, 1))
    mixed = ngrams.mix(some_ids(seed + 1, order + 20), log_probabilities(20, members), weights, 0.1)
    np.testing.assert_allclose(np.exp(mixed).sum(1), 1, atol=1e-5)


def test_reference_counts_as_described() -> None:
    """A character is counted in shorter contexts up to the first that has counted it before."""
    ngrams = ReferenceNGrams(2, 3)
    ngrams.count(np.array([-1, -1, 0, 1, 0, 1]))
    # 0 1 came twice after "0"; the second time, the context (1, 0) was new, and (0,) knew 1.
    assert ngrams._followers[(0,)] == {1: 2}
    assert ngrams._followers[(1, 0)] == {1: 1}
    distributions, longest = ngrams.predict(np.array([1, 0]))
    assert longest == 2
    assert distributions[2].argmax() == 1
    np.testing.assert_allclose(distributions.sum(1), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_new_symbols_get_the_discounts(kind: type[NGrams]) -> None:
    """Symbols that were never counted get the discounts."""
    ngrams = kind(0, 3)
    ngrams.count(np.array([1] * 8 + [2]))
    mixed = ngrams.mix(np.array([1]), np.empty((1, 0, 3), np.float32), np.ones((1, 1)))
    taken_off = 1.4 + 0.9  # of a count of 8, and of 1
    np.testing.assert_allclose(np.exp(mixed[0]), np.array([taken_off, 8 - 1.4, 0.1]) / 9, rtol=1e-5)


@needs_compiler
def test_id_outside_vocabulary_is_refused() -> None:
    ngrams = KernelNGrams(1, SIZE)
    for bad in (SIZE, -1):
        with pytest.raises(IndexError, match="outside the 5 symbols"):
            ngrams.count(np.array([0, bad]))


@pytest.fixture
def ensemble() -> Ensemble:
    return Ensemble([make_member(0), make_member(1)], 3, some_ids(0).astype(np.uint8))


@torch.no_grad()
def read(model: AnyModel, ids: torch.Tensor, *cuts: int) -> torch.Tensor:
    state, outputs = model.initial_state(ids.shape[1]), []
    for piece in torch.tensor_split(ids, cuts):
        output, state = model(piece, state)
        outputs.append(output)
    return torch.cat(outputs)


def test_ensemble_reads_pieces_and_columns(ensemble: Ensemble) -> None:
    """Pieces and single columns give the results of the whole batch."""
    ids = torch.from_numpy(np.stack([some_ids(3, 40), some_ids(4, 40)], axis=1))
    whole = read(ensemble, ids)
    torch.testing.assert_close(read(ensemble, ids, 1, 2, 17, 18), whole)
    torch.testing.assert_close(read(ensemble, ids[:, 1:])[:, 0], whole[:, 1])
    torch.testing.assert_close(whole.exp().sum(2), torch.ones(40, 2))
    later = ids.clone()
    later[30:] = (later[30:] + 1) % SIZE
    torch.testing.assert_close(read(ensemble, later)[:30], whole[:30])


def test_fitting_the_mixture_helps(ensemble: Ensemble) -> None:
    """Fitting the mixture lowers the loss of similar texts."""
    text, other = some_ids(5, 2000).astype(np.uint8), some_ids(6, 2000).astype(np.uint8)
    before = total_nats(ensemble, other)
    fit_mixture(ensemble, some_ids(0).astype(np.uint8), text)
    assert total_nats(ensemble, other) < before - 100
    assert total_nats(ensemble, other, rows=4) == pytest.approx(
        total_nats(ensemble, other), rel=0.1
    )


@pytest.mark.parametrize("kind", ["network", "ensemble"])
def test_dynamic_evaluation_learns(kind: str, ensemble: Ensemble) -> None:
    """Dynamic evaluation scores, then learns, and can be undone."""
    model = ensemble if kind == "ensemble" else make_member(2)
    training, text = some_ids(7).astype(np.uint8), some_ids(8, 1500)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    frozen = total_nats(model, text)
    evaluation = DynamicEvaluation(model, training, Rates(learning=1e-3))
    score = evaluation.score(part_of(text))
    assert score.characters == 1499
    assert score.nats < frozen - 50
    assert any(not torch.equal(before[n], tensor) for n, tensor in model.state_dict().items())
    evaluation.reset()
    assert all(torch.equal(before[n], tensor) for n, tensor in model.state_dict().items())
    if kind == "network":  # an ensemble has counted the text
        assert evaluation.score(part_of(text)).nats == score.nats


@pytest.mark.parametrize("kind", ["network", "ensemble"])
@pytest.mark.parametrize("length", [2, 20, 32, 33, 34, 50, 66])
def test_scored_before_learnt_from(kind: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the probabilities of all that could come next would not add up to one."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    training, text = some_ids(7).astype(np.uint8), some_ids(8, length)
    before_it = some_ids(6, 40)

    def nats_of(ids: np.ndarray) -> float:
        networks = [make_member(3), make_member(4)]
        model = Ensemble(networks, 3, training) if kind == "ensemble" else networks[0]
        evaluation = DynamicEvaluation(model, training, Rates(learning=1e-2))
        evaluation.score(part_of(before_it))
        return evaluation.score(part_of(ids)).nats

    before = nats_of(text)
    after = [nats_of(np.append(text, symbol)) for symbol in range(SIZE)]
    assert sum(math.exp(before - total) for total in after) == pytest.approx(1, abs=1e-4)


def test_first_mixture_is_geometric_mean() -> None:
    """Before it is fitted, a mixture of networks is their geometric mean."""
    members, ids = [make_member(0), make_member(1)], torch.from_numpy(some_ids(3, 40)).unsqueeze(1)
    alone = torch.stack([read(member, ids).log_softmax(dim=2) for member in members])
    mixed = read(Ensemble(members, 0, some_ids(0).astype(np.uint8)), ids)
    torch.testing.assert_close(mixed, alone.mean(dim=0).log_softmax(dim=2))


def test_rates_are_the_best_on_their_text() -> None:
    """The rates are those that do best on the text for them."""
    training = some_ids(7).astype(np.uint8)
    evaluation = DynamicEvaluation(make_member(4), training, rates_text=some_ids(9, 900))
    assert evaluation.rates.learning == 4e-4  # it has learnt nothing yet: faster is better


@pytest.mark.parametrize("kind", ["network", "ensemble"])
def test_no_rate_destroys_a_network(kind: str, ensemble: Ensemble) -> None:
    """Steps are limited, even where the network is certain."""
    model = ensemble if kind == "ensemble" else make_member(2)
    training, text = some_ids(7).astype(np.uint8), np.append(some_ids(8, 1500), [0] * 600)
    frozen = total_nats(model, text)
    nats = DynamicEvaluation(model, training, Rates(learning=1e9)).nats_of_each(text)
    assert nats.sum() < 2 * frozen
    assert nats[-1] == pytest.approx(0, abs=0.01)


def test_order_of_networks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """They suit the mixture, not its first network."""
    monkeypatch.setattr("charlm.prediction.adaptive_network._NUM_BATCHES", 2)
    monkeypatch.setattr(dynamic, "_TRIAL_CHARACTERS", 400)
    training, text = some_ids(7).astype(np.uint8), some_ids(9, 900)
    learnt, new = make_member(4), make_member(5)
    DynamicEvaluation(learnt, training, Rates(1e-3, 0.0)).score(part_of(np.tile(text, 5)))
    alone = [DynamicEvaluation(one, training, rates_text=text).rates for one in (learnt, new)]
    assert alone[0] != alone[1]
    both = Ensemble([learnt, new], 0, training), Ensemble([new, learnt], 0, training)
    rates = [DynamicEvaluation(one, training, rates_text=text).rates for one in both]
    assert rates[0] == rates[1]


def test_comparing_rates_leaves_no_trace(ensemble: Ensemble) -> None:
    before = copy.deepcopy(ensemble.state_dict()), ensemble.weights.copy(), ensemble.counted
    text = some_ids(8, 200)
    expected = total_nats(ensemble, text)
    DynamicEvaluation(ensemble, some_ids(7).astype(np.uint8), rates_text=some_ids(9, 300))
    for name, tensor in ensemble.state_dict().items():
        assert torch.equal(before[0][name], tensor)
    np.testing.assert_array_equal(ensemble.weights, before[1])
    assert ensemble.counted is before[2]
    assert total_nats(ensemble, text) == expected


SETTINGS = (
    "--set=model.hidden_size=16",
    "--set=training.steps=30",
    "--set=training.budget=null",
    "--set=ensemble.members=2",
    "--set=ensemble.ngram_order=3",
    "--set=ensemble.word_contexts=true",
    "--set=ensemble.line_contexts=true",
    "--set=ensemble.match_model=true",
    "--set=generation.length=20",
)


def charlm(*arguments: object) -> Any:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exit_code and result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_ensemble_is_used_as_one_model(text_file: Path, tmp_path: Path) -> None:
    """One command trains an ensemble, and all commands use it as one model."""
    runs = ("--runs", tmp_path)
    result = charlm(
        "train", "quickstart", "--text", text_file, "--name", "both", *runs, *SETTINGS, "--quiet"
    )
    assert result.stdout == f"{tmp_path / 'both'}\n"
    alone = evaluate(load(tmp_path / "both" / "member-1")).nats_per_character
    predictor = load(tmp_path / "both")
    assert isinstance(predictor.model, Ensemble)
    assert evaluate(predictor).nats_per_character < alone
    assert len("".join(generate(predictor, "The rain", length=30, seed=1))) == 30
    assert "sample 2" in charlm("generate", *runs, "--num-samples", 2, "--length", 5).stdout
    saved = tmp_path / "adapted.safetensors"
    shown = charlm("eval", tmp_path / "both", "--dynamic", "--save", saved)
    said = "scored, then trained on, as the validation split before it"
    assert said in " ".join(shown.stdout.split())
    assert evaluate(load(saved)).nats < evaluate(predictor).nats
    assert "scored, then" in charlm("eval", tmp_path / "both" / "member-2", "--dynamic").stdout
    assert "biased score" in charlm("eval", saved).stdout
    other = tmp_path / "other.txt"
    other.write_text("Nobody had stopped before.\n" * 10, encoding="utf-8")
    shown = charlm("eval", saved, "--text", other).stdout
    adapted = "adapted to the validation split of text.txt, the test split of text.txt"
    assert adapted in " ".join(shown.split())
    again = CliRunner().invoke(app, ["eval", str(saved), "--dynamic", "--save", str(saved)])
    assert "exists already" in again.output
    shown = charlm("eval", tmp_path / "both", "--split", "validation").stdout
    assert "the mixture was fitted on all of it" in " ".join(shown.split())
    assert "fitted" not in charlm("eval", tmp_path / "both").stdout


def test_ensemble_is_resumed(text_file: Path, tmp_path: Path) -> None:
    """A resumed ensemble equals an uninterrupted one."""
    for name in ("whole", "cut"):
        charlm(
            "train",
            "quickstart",
            "--text",
            text_file,
            "--name",
            name,
            "--runs",
            tmp_path,
            *SETTINGS,
        )
    cut = tmp_path / "cut"
    RunFolder(cut).best.unlink()
    for path in sorted((cut / "member-2").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (cut / "member-2").rmdir()
    assert isinstance(load(cut).model, LanguageModel)  # of the member that there is
    charlm("train", "--resume", cut)
    whole, resumed = load(tmp_path / "whole").model.tensors(), load(cut).model.tensors()
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_run_does_not_become_ensemble(text_file: Path, tmp_path: Path) -> None:
    """A run of one network cannot be resumed as an ensemble."""
    plain = [s for s in SETTINGS if "ensemble" not in s]
    charlm("train", "quickstart", "--text", text_file, "--name", "one", "--runs", tmp_path, *plain)
    command = ["train", "--resume", str(tmp_path / "one"), "--set=ensemble.ngram_order=2"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "ensemble.ngram_order was None and is 2" in result.output


def test_lost_checkpoint_does_not_restart(text_file: Path, tmp_path: Path) -> None:
    """A run without its last checkpoint is not started again."""
    charlm(
        "train", "quickstart", "--text", text_file, "--name", "both", "--runs", tmp_path, *SETTINGS
    )
    for folder in (tmp_path / "both", tmp_path / "both" / "member-1"):
        RunFolder(tmp_path / "both" / "member-1").last.unlink(missing_ok=True)
        result = CliRunner().invoke(app, ["train", "--resume", str(folder)])
        assert result.exit_code == 1
        assert "last.safetensors: missing" in result.output
    assert RunFolder(tmp_path / "both" / "member-1").best.exists()


def test_reloaded_ensemble_is_the_same(ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is, if the text that was followed was counted once."""
    monkeypatch.setattr(dynamic, "_TIMES_COUNTED", 1)
    text, other = part_of(some_ids(8, 300)), some_ids(9, 300)
    DynamicEvaluation(ensemble, some_ids(7).astype(np.uint8), Rates()).score(text)
    again = Ensemble.from_tensors(CONFIG, SIZE, ensemble.tensors())
    assert total_nats(again, other) == pytest.approx(total_nats(ensemble, other), rel=1e-6)


def test_what_is_followed_counts_more(ensemble: Ensemble) -> None:
    """Meanwhile it is counted several times; a saved ensemble counts it once."""
    followed = some_ids(8, 300)
    DynamicEvaluation(ensemble, some_ids(7).astype(np.uint8), Rates()).score(part_of(followed))
    again = Ensemble.from_tensors(CONFIG, SIZE, ensemble.tensors())
    assert total_nats(ensemble, followed) < total_nats(again, followed) - 5


def test_networks_do_not_learn_what_n_grams_know() -> None:
    """They follow the errors of the mixture, which are few where n-grams have seen the text."""
    text, changes = repetitive(5, 600), []
    for is_alone in (False, True):
        member = make_member(3)
        model = Ensemble([member], 6, text.astype(np.uint8))
        model.weights[:, 0], model.weights[:, 1:] = 0.0, 3.0
        before = member.output_weights.detach().clone()
        evaluation = DynamicEvaluation(
            member if is_alone else model, some_ids(7).astype(np.uint8), Rates()
        )
        evaluation.score(part_of(text))
        changes.append((member.output_weights - before).abs().mean().item())
    assert changes[0] < 0.7 * changes[1]


@pytest.mark.parametrize("size", [127, 128, 129, 32_768])
def test_counted_ids_are_checked_at_every_size(size: int) -> None:
    """Ids are stored in the smallest type that holds them and −1, which may not hold the size."""
    sizes = ModelConfig(hidden_size=2, embedding_size=1)
    config = Config(model=sizes, ensemble=EnsembleConfig(ngram_order=1))
    member = LanguageModel(sizes, size)
    member.initialize(torch.Generator().manual_seed(0))
    ensemble = Ensemble([member], 1, np.array([0, size - 1, 1]))
    tensors = ensemble.tensors()
    again = Ensemble.from_tensors(config, size, tensors)
    assert again.counted.tolist() == ensemble.counted.tolist()
    tensors["counted"] = torch.tensor([0, size], dtype=torch.int32)
    with pytest.raises(InvalidDataError, match="ids of the vocabulary"):
        Ensemble.from_tensors(config, size, tensors)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--dynamic", "--rows", "2"], "--dynamic cannot be combined with --rows"),
        (["--save", "file"], "--save requires --dynamic"),
        (["--text", __file__, "--split", "test"], "is another text; omit --split"),
        (["--dynamic", "--save", "missing/file"], "no such folder"),
        (["--dynamic", "--save", "."], "exists already"),
    ],
)
def test_eval_refuses_bad_options(arguments: list[str], why: str, run_of_both: Path) -> None:
    """Options that cannot be combined are refused before the evaluation."""
    result = CliRunner().invoke(app, ["eval", str(run_of_both), *arguments])
    assert result.exit_code == 1
    assert why in result.output


@pytest.fixture(scope="module")
def run_of_both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    (folder / "text").write_text("the rain came in. " * 200, "utf-8")
    shown = charlm(
        "train", "quickstart", "--text", folder / "text", "--name", "r", "--runs", folder, *SETTINGS
    )
    assert "network 2 of 2" in shown.stderr
    assert "building the ensemble of 2 networks and n-grams up to order 3" in shown.stderr
    assert "as an ensemble (nats per character; fitted on this split)" in shown.stdout
    return folder / "r"
