"""The keys of a config: every key has a default, and the line under it gives meaning and unit."""

import codecs
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from charlm.config.values import (
    Decay,
    Factor,
    Fraction,
    Paths,
    Seconds,
    Size,
    as_tuple,
    three_fractions,
)

_Section = TypeVar("_Section", bound="Section")  # beartype does not check `Self`


class Section(BaseModel):
    """A frozen group of keys: unknown keys, wrong kinds and numbers like nan are mistakes."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    def replace(self: _Section, **changes: Any) -> _Section:
        """Return a validated copy with other values; a dict changes keys of a section.

        For example `config.replace(training={"steps": 100})`. Raises `ValidationError`.
        """
        for name, value in changes.items():
            section = getattr(self, name)
            if isinstance(section, Section) and isinstance(value, dict):
                changes[name] = section.replace(**value)
        return self.model_validate(dict(self) | changes)


class CorpusConfig(Section):
    """Which text, how it is read, and how it is split."""

    paths: Paths = ()
    """Files, folders (all files in them) and globs, joined in order; `-` is standard input."""
    builtin: str | None = None
    """A text by name instead of `paths`: `charlm data list` shows them."""
    validation_paths: Paths = ()
    """Separate files for validation; with these or `test_paths`, `split` is not used."""
    test_paths: Paths = ()
    """Separate files for the test part."""
    unit: Literal["character", "byte"] = "character"
    """What the model predicts: Unicode code points, or the bytes as they are in the file."""
    encoding: str = "utf-8"
    """How characters are encoded in the files."""
    newlines: Literal["keep", "normalise", "space"] = "keep"
    """Line ends as they are; CR LF and CR to LF; or every line end to a space (the book's)."""
    normal_form: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = "none"
    """The Unicode normal form into which the text is brought."""
    max_characters: PositiveInt | None = None
    """Read no more than this many characters of `paths` (bytes, with `unit: byte`)."""
    minimum_count: PositiveInt = 1
    """Rarer characters share one unknown symbol, which is never generated."""
    vocabulary_from: Literal["train", "all"] = "train"
    """Count characters in the training part alone, or in all parts."""
    vocabulary: Literal["keep", "extend"] = "keep"
    """With `training.start_from`: keep the vocabulary of the initial model, or extend it by the
    characters of this text, selected by `minimum_count` and `vocabulary_from`."""
    split: Annotated[tuple[Fraction, Fraction, Fraction], BeforeValidator(three_fractions)] = (
        0.9,
        0.05,
        0.05,
    )
    """Fractions of the text, in its order, for training, validation and test. A single fraction is
    that of training, and the others share the rest: 0.8 means 0.8, 0.1 and 0.1."""
    validation_first: bool = False
    """Take the validation part from the beginning, before the training part. Otherwise the test
    part goes on where the validation part ends, perhaps amid a chapter that training never saw."""

    @property
    def validation_follows_training(self) -> bool:
        """Whether the validation split directly follows the training split in one text."""
        return not (self.validation_first or self.validation_paths or self.test_paths)

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            known = codecs.lookup(name)
        except (LookupError, ValueError):
            raise ValueError("should be an encoding that Python knows, such as utf-8") from None
        if not known._is_text_encoding:  # bytes-to-bytes codecs such as `hex` are no encodings
            raise ValueError("should be an encoding of characters, such as utf-8")
        return known.name.removesuffix("-sig")  # a byte order mark is always removed

    @field_validator("split")
    @classmethod
    def _whole(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        if abs(sum(split) - 1) > 1e-9 or split[0] == 0:
            raise ValueError("should be three fractions that add up to 1, the first above 0")
        return split

    @model_validator(mode="before")
    @classmethod
    def _default_text(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and not keys.get("paths") and keys.get("builtin") is None:
            return keys | {"builtin": "python-docs"}
        return keys

    @model_validator(mode="after")
    def _consistent(self) -> "CorpusConfig":
        if self.paths and self.builtin is not None:
            raise ValueError("paths and builtin both name the text; set one of them to null")
        if self.unit == "byte" and (self.newlines != "keep" or self.normal_form != "none"):
            raise ValueError("unit: byte takes bytes as they are; leave newlines and normal_form")
        return self


class BatchesConfig(Section):
    """How the text is cut into batches (the book's two ways of sampling)."""

    sampling: Literal["random", "sequential"] = "sequential"
    """Shuffled windows with a fresh state each, or long columns with the state carried on."""
    batch_size: Size = 32
    """Windows or columns side by side."""
    sequence_length: Size = 64
    """Time steps through which gradients flow."""
    random_offset: bool = True
    """Cut each epoch from another place on; otherwise all windows and columns are the same again
    (the book's random sampling)."""
    reset_probability: Fraction = 0.0
    """Chance that a sequential batch starts from a fresh state all the same. Without it a network
    may come to rely on what its state has gathered over a whole epoch, and begin a new text badly.
    """
    hapax_dropout: Fraction = 0.0
    """Probability that a rare character is read as the unknown symbol, drawn anew in each epoch.
    A rare character occurs in the training split fewer than twice corpus.minimum_count times (once,
    by default). With 0, a network never learns where unknown characters occur."""


class ModelConfig(Section):
    """The network."""

    cell: Literal["rnn", "gru", "lstm", "mogrifier"] = "lstm"
    """The recurrent cell of every layer."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """φ of the `rnn` cell; gated cells have their own."""
    num_layers: Annotated[int, Field(gt=0, le=100)] = 1
    """Cells stacked: each reads the hidden states of the one below."""
    hidden_size: Size = 256
    """Units of the hidden state of a layer."""
    embedding_size: Size | None = 64
    """Size of the learnt vector of a character; null feeds one-hot vectors (the book's)."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability of dropping a unit between layers and before the softmax layer."""
    locked_dropout: bool = False
    """Drop the same units at all time steps of a batch, instead of others at each."""
    embedding_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability of dropping a component of a character's vector, wherever in the batch it stands.
    """
    tie_weights: bool = False
    """Let the softmax layer use the embedding's weights; needs embedding_size = hidden_size."""
    initialization: Literal["uniform", "orthogonal", "normal"] = "uniform"
    """uniform: matrices from ±1/√hidden_size; orthogonal: the same with orthogonal W_hh; both set
    b_q to the logarithms of the character frequencies. normal: N(0, 0.01²), biases 0 (the book)."""
    implementation: Literal["fused", "equations"] = "fused"
    """The fastest way over a sequence, or the book's formulas step by step: the same results."""

    @model_validator(mode="after")
    def _sizes_allow_tying(self) -> "ModelConfig":
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise ValueError("tie_weights needs embedding_size equal to hidden_size")
        return self


class TrainingConfig(Section):
    """How the network is fitted, for how long, and what is kept on the way."""

    epochs: PositiveFloat | None = None
    """Stop after this many passes over the training part (10, where no limit is set)."""
    steps: PositiveInt | None = None
    """Stop after this many updates."""
    budget: Seconds | None = None
    """Stop after this time, validation included: 90s, 3m, 1h30, 1h30m15s. Training stops at the
    first limit that it reaches; setting one limit keeps the others, and null removes a limit."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter, 2019) or plain stochastic gradient descent (the book's)."""
    learning_rate: PositiveFloat = 4e-3
    """The peak of the schedule."""
    momentum: Fraction = 0.0
    """Of `sgd`."""
    betas: Annotated[tuple[Decay, Decay], BeforeValidator(as_tuple)] = (0.9, 0.99)
    """Of `adamw`: decay of the gradient's mean and mean square."""
    weight_decay: NonNegativeFloat = 0.01
    """Decay of weight matrices (biases are left alone)."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """The learning rate's way down, laid over epochs, steps or budget."""
    warmup_steps: NonNegativeInt = 50
    """Steps over which the learning rate rises from zero."""
    final_learning_rate: Fraction = 0.02
    """Where cosine and linear end, as a fraction of learning_rate."""
    max_gradient_norm: PositiveFloat | None = 1.0
    """θ: gradients whose global L2 norm is larger are scaled down to it; null clips nothing."""
    average: Decay = 0.0
    """Decay, at each step, of an exponential moving average of the weights, such as 0.999; 0 keeps
    none (Polyak and Juditsky, 1992). The averaged weights are what is validated, scored and
    predicted with; training goes on from its own."""
    max_rollbacks: NonNegativeInt = 3
    """How often a run that diverges (a loss, gradient or weight that is not finite, or a loss that
    leaps up and stays there) goes back to its last good save; the next time it ends."""
    rollback_factor: Factor = 0.5
    """By what each roll-back multiplies the learning rate, for the rest of the run."""
    validate_every: PositiveInt | None = 500
    """Steps between validations; null validates at the end only."""
    validation_rows: PositiveInt = 16
    """Rows of the validation split read side by side; 1 is exact (see `charlm eval --rows`)."""
    validation_characters: PositiveInt | None = 100_000
    """Characters of the validation part that are scored while training goes on, spread over it in
    `validation_rows` rows, each after 256 characters of context; null scores all."""
    accumulate: PositiveInt = 1
    """Groups of columns that a batch is read in, one by one: the same step in less memory."""
    save_every: PositiveInt | None = 500
    """Steps between saves; null saves at the end and on Ctrl-C only."""
    log_every: PositiveInt = 10
    """Steps that one training line of metrics.jsonl sums up."""
    keep_checkpoints: NonNegativeInt = 0
    """How many older saves to keep beside the best and the last."""
    patience: PositiveInt | None = None
    """Stop after this many validations in a row without a new best."""
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    """Of the initial weights, the order of batches, dropout and samples."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes CUDA, then MPS, then the CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the operands of large products, on a CPU with charlm's kernels; states, parameters and
    loss are float32. `auto` selects the faster one on this machine and records it in the config.
    Without the kernels, charlm computes in float32 in place of bfloat16 and reports it."""
    threads: PositiveInt | Literal["auto"] = "auto"
    """Most threads that compute on a CPU; in bfloat16 a run takes fewer while that is faster.
    `auto` is one a core, or in float32 as many as are of use when the run starts."""
    deterministic: bool = False
    """Take only algorithms that give the same bits each time, and let no measurement decide: `auto`
    is then float32, and one thread a core. A budget's clock still decides on the steps."""
    start_from: str | None = None
    """A run or checkpoint with the initial weights and vocabulary (fine-tuning); of an ensemble,
    charlm uses the network with the best loss on its validation split."""
    teachers: Paths = ()
    """Runs or checkpoints, of the same text, whose networks' mean prediction is learnt beside what
    came (n-grams of an ensemble do not teach: they know the text by heart)."""
    teacher_share: Fraction = 0.5
    """How much of each target is the teachers'."""

    @property
    def product_precision(self) -> Literal["float32", "bfloat16"]:
        """`precision` as it was decided; float32 as long as it is not."""
        return "bfloat16" if self.precision == "bfloat16" else "float32"

    @model_validator(mode="before")
    @classmethod
    def _some_limit(cls, keys: Any) -> Any:
        limits = ("epochs", "steps", "budget")
        if isinstance(keys, dict) and all(keys.get(limit) is None for limit in limits):
            return keys | {"epochs": 10}
        return keys


class EnsembleConfig(Section):
    """Several models trained by one run, whose predictions are mixed."""

    members: Annotated[int, Field(gt=0, le=100)] = 1
    """Number of networks, trained one after another; they share a budget. The first has
    `training.seed`, the others have seeds derived from it that no other ensemble has."""
    student: Decay = 0.0
    """Train one more network, whose teachers the others are, in this share of a budget; 0 trains
    none. Given enough time it predicts better than each of its teachers."""
    ngram_order: Annotated[int, Field(ge=0, le=10)] | None = None
    """Longest context of an n-gram model that is mixed in (7 is a good one); null leaves it out."""
    keep_text: bool = True
    """Store the text of the n-grams (the last 4,000,000 characters of the training split) in the
    checkpoint. false stores only networks and mixture weights: each time charlm loads the model, it
    reads the text from its path and counts the n-grams again."""

    @property
    def size(self) -> int:
        """Networks in all."""
        return self.members + (self.student > 0)

    def share(self, number: int) -> float:
        """Return the share of a budget that a network gets; the last may be the student."""
        return self.student if number == self.members else (1 - self.student) / self.members

    @property
    def is_wanted(self) -> bool:
        """Whether there is anything to mix."""
        return self.size > 1 or self.ngram_order is not None


class GenerationConfig(Section):
    """How text is drawn, for the samples of a run and for `charlm generate`."""

    prefix: str = ""
    """What the text begins with; characters that the vocabulary does not hold are left out."""
    length: PositiveInt = 300
    """Characters to generate (bytes, with `unit: byte`)."""
    greedy: bool = False
    """Always take the likeliest character (the book's)."""
    temperature: NonNegativeFloat = 1.0
    """Divides the logits; 0 is greedy."""
    top_k: PositiveInt | None = None
    """Draw from the k likeliest characters only."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Draw from the likeliest characters that together have this probability (nucleus)."""
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Draw from characters at least this fraction as likely as the likeliest."""


class Config(Section):
    """One run, whole."""

    corpus: CorpusConfig = CorpusConfig()
    batches: BatchesConfig = BatchesConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    generation: GenerationConfig = GenerationConfig()

    @model_validator(mode="after")
    def _extends_something(self) -> "Config":
        if self.corpus.vocabulary == "extend" and self.training.start_from is None:
            raise ValueError(
                "corpus.vocabulary: extend is for fine-tuning; set training.start_from, or use keep"
            )
        return self
