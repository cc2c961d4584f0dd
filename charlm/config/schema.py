"""Define the keys of a config: each has a default, and its docstring gives meaning and unit."""

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
    """A frozen group of keys; unknown keys, wrong types and numbers such as nan are mistakes."""

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


def _renamed_newlines(value: Any) -> Any:
    """Read the first name of `unify`, which older configs and checkpoints contain."""
    return "unify" if value == "normalise" else value


class CorpusConfig(Section):
    """The text, how it is read, and how it is split."""

    paths: Paths = ()
    """Files, folders (all files in them) and globs, joined in order; `-` is standard input."""
    builtin: str | None = None
    """Name of a text to use instead of `paths`; `charlm data list` lists the names."""
    validation_paths: Paths = ()
    """Separate files for validation; with these or `test_paths`, `split` is not used."""
    test_paths: Paths = ()
    """Separate files for the test split."""
    unit: Literal["character", "byte"] = "character"
    """What the model predicts: Unicode code points, or the bytes as they are in the file."""
    encoding: str = "utf-8"
    """Encoding of the characters in the files."""
    newlines: Annotated[
        Literal["auto", "unify", "keep", "space"], BeforeValidator(_renamed_newlines)
    ] = "auto"
    """`unify` turns line ends of Windows (CR LF) and old Macs (CR) into LF, `keep` leaves line ends
    as they are, and `space` turns every line end into a space, as the book does. `auto` is `unify`
    for characters, and `keep` for bytes, where every byte counts."""
    normal_form: Literal["none", "NFC", "NFD", "NFKC", "NFKD"] = "none"
    """Unicode normal form to which the text is converted."""
    max_characters: PositiveInt | None = None
    """Read no more than this many characters of `paths` (bytes, with `unit: byte`)."""
    minimum_count: PositiveInt = 1
    """Rarer characters share one unknown symbol, which is never generated."""
    vocabulary_from: Literal["train", "all"] = "train"
    """Split whose characters are counted: `train` is the training split, `all` is every split."""
    vocabulary: Literal["keep", "extend"] = "keep"
    """With `training.start_from`: keep the vocabulary of the initial model, or extend it by the
    characters of this text, selected by `minimum_count` and `vocabulary_from`."""
    split: Annotated[tuple[Fraction, Fraction, Fraction], BeforeValidator(three_fractions)] = (
        0.9,
        0.05,
        0.05,
    )
    """Fractions of the text, in its order, for training, validation and test. A single number is
    the fraction for training, and the others share the rest: 0.8 means 0.8, 0.1 and 0.1."""
    validation_first: bool = False
    """Take the validation split from the beginning of the text, before the training split.
    Otherwise it lies between the training split and the test split."""

    @property
    def line_ends(self) -> Literal["unify", "keep", "space"]:
        """How line ends are read, with `auto` decided."""
        if self.newlines == "auto":
            return "keep" if self.unit == "byte" else "unify"
        return self.newlines

    @property
    def validation_follows_training(self) -> bool:
        """Whether the validation split directly follows the training split in one text."""
        return not (self.validation_first or self.validation_paths or self.test_paths)

    @field_validator("encoding")
    @classmethod
    def _canonical_encoding(cls, name: str) -> str:
        try:
            known = codecs.lookup(name)
        except (LookupError, ValueError):
            raise ValueError("should be an encoding that Python knows, such as utf-8") from None
        if not known._is_text_encoding:  # bytes-to-bytes codecs such as `hex` are no encodings
            raise ValueError("should be an encoding of characters, such as utf-8")
        return known.name.removesuffix("-sig")  # a byte order mark is always removed

    @field_validator("split")
    @classmethod
    def _check_sum(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
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
    def _check_consistency(self) -> "CorpusConfig":
        if self.paths and self.builtin is not None:
            raise ValueError("paths and builtin both name the text; set one of them to null")
        if self.unit == "byte" and (self.line_ends != "keep" or self.normal_form != "none"):
            raise ValueError("unit: byte takes bytes as they are; remove newlines and normal_form")
        return self


class BatchesConfig(Section):
    """How the text is divided into batches, with the two sampling methods of the book."""

    sampling: Literal["random", "sequential"] = "sequential"
    """`random`: shuffled windows, each with a new state. `sequential`: long columns, whose state
    continues from batch to batch."""
    batch_size: Size = 32
    """Number of windows or columns in a batch."""
    sequence_length: Size = 64
    """Time steps of a segment, through which gradients flow."""
    random_offset: bool = True
    """Start each epoch at a random offset. Otherwise every epoch has the same windows and columns,
    as in the book's random sampling."""
    reset_probability: Fraction = 0.0
    """Probability that a sequential batch starts from a new state. With 0, a network may rely on
    the state of a whole epoch, and predict the beginning of a new text badly."""
    hapax_dropout: Fraction = 0.0
    """Probability that a rare character is read as the unknown symbol, drawn again in each epoch.
    A rare character occurs in the training split fewer than twice `corpus.minimum_count` times
    (once, by default). With 0, a network never learns where unknown characters occur."""


class ModelConfig(Section):
    """The network."""

    cell: Literal["rnn", "gru", "lstm", "mogrifier"] = "lstm"
    """The recurrent cell of every layer."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """φ of the `rnn` cell; other cells do not use it."""
    num_layers: Annotated[int, Field(gt=0, le=100)] = 1
    """Number of layers; each reads the hidden states of the layer below."""
    hidden_size: Size = 256
    """Number of units in the hidden state of a layer."""
    embedding_size: Size | None = 64
    """Size of the embedding of a character; null means one-hot vectors, as in the book."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability of dropping a unit between layers and before the softmax layer."""
    locked_dropout: bool = False
    """Drop the same units at all time steps of a batch, instead of new units at each step."""
    embedding_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability of dropping a component of a character's embedding everywhere in a batch."""
    tie_weights: bool = False
    """Use the embedding's weights in the softmax layer; needs embedding_size = hidden_size."""
    initialization: Literal["uniform", "orthogonal", "normal"] = "uniform"
    """Initial weights. `uniform`: within ±1/√hidden_size. `orthogonal`: the same, with orthogonal
    W_hh. Both set b_q to the logarithms of the character frequencies. `normal`: N(0, 0.01²) and
    biases 0, as in the book."""
    implementation: Literal["fused", "equations"] = "fused"
    """`fused` is the fastest implementation, `equations` computes the book's formulas step by step;
    the results are the same."""

    @model_validator(mode="after")
    def _check_tying(self) -> "ModelConfig":
        if self.tie_weights and self.embedding_size != self.hidden_size:
            raise ValueError("tie_weights needs embedding_size equal to hidden_size")
        return self


class TrainingConfig(Section):
    """How the network is trained, for how long, and which checkpoints are kept."""

    epochs: PositiveFloat | None = None
    """Stop after this many passes over the training split (10 if no limit is set)."""
    steps: PositiveInt | None = None
    """Stop after this many updates."""
    budget: Seconds | None = None
    """Stop after this time, validation included: 90s, 3m, 1h30, 1h30m15s. Training stops at the
    first limit that it reaches; setting one limit keeps the others, and null removes a limit."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov and Hutter, 2019) or plain stochastic gradient descent (the book's)."""
    learning_rate: PositiveFloat = 4e-3
    """Highest learning rate of the schedule."""
    momentum: Fraction = 0.0
    """Momentum of `sgd`."""
    betas: Annotated[tuple[Decay, Decay], BeforeValidator(as_tuple)] = (0.9, 0.99)
    """Decays of the running mean and mean square of the gradient, for `adamw`."""
    weight_decay: NonNegativeFloat = 0.01
    """Decay of weight matrices; biases do not decay."""
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    """How the learning rate falls until the first limit of epochs, steps or budget."""
    warmup_steps: NonNegativeInt = 50
    """Steps over which the learning rate rises from zero."""
    final_learning_rate: Fraction = 0.02
    """Last learning rate of `cosine` and `linear`, as a fraction of learning_rate."""
    max_gradient_norm: PositiveFloat | None = 1.0
    """θ: gradients whose global L2 norm is larger are scaled down to it; null disables this."""
    average: Decay = 0.0
    """Decay, at each step, of an exponential moving average of the weights, such as 0.999; 0 keeps
    none (Polyak and Juditsky, 1992). The average is validated, scored and used for predictions;
    training continues with its own weights."""
    max_rollbacks: NonNegativeInt = 3
    """How often a run that diverges rolls back to its `rollback` checkpoint before it ends. A run
    diverges if a loss, gradient or weight is not finite, or if the loss rises and stays high."""
    rollback_factor: Factor = 0.5
    """Factor by which each rollback multiplies the learning rate for the rest of the run."""
    validate_every: PositiveInt | None = 500
    """Steps between validations; null validates only at the end."""
    validation_rows: PositiveInt = 16
    """Number of streams that read the validation split in parallel; 1 is exact (see
    `charlm eval --rows`)."""
    validation_characters: PositiveInt | None = 100_000
    """Characters of the validation split that are scored during training, from `validation_rows`
    streams spread over it, each after 256 characters of context; null scores all."""
    accumulate: PositiveInt = 1
    """Number of column groups into which a batch is divided: the same step takes less memory."""
    save_every: PositiveInt | None = 500
    """Steps between checkpoints; null saves only at the end and on Ctrl-C."""
    log_every: PositiveInt = 10
    """Steps that one training line of metrics.jsonl summarises."""
    keep_checkpoints: NonNegativeInt = 0
    """How many older checkpoints to keep besides the best and the last."""
    patience: PositiveInt | None = None
    """Stop after this many consecutive validations without a new best loss."""
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    """Random seed for weights, data order, dropout and samples."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on; `auto` takes CUDA if there is one, else MPS, else the CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the operands of large products, on a CPU with charlm's kernels; states,
    parameters and loss are float32. `auto` selects the faster one on this machine when the
    run starts. Without the kernels, charlm computes in float32 instead of bfloat16 and reports
    it."""
    threads: PositiveInt | Literal["auto"] = "auto"
    """Maximum number of threads on a CPU. In bfloat16, a run uses fewer while that is faster,
    except with `mogrifier`, whose results depend on the number. `auto` is one thread per core; in
    float32, charlm measures at the start whether fewer suffice. A resumed run keeps its number,
    unless this setting changes."""
    deterministic: bool = False
    """Use only deterministic algorithms, and measure nothing: `auto` then means float32 and one
    thread per core. With a budget, the number of steps still depends on the clock."""
    start_from: str | None = None
    """A run or checkpoint with the initial weights and vocabulary (fine-tuning); of an ensemble,
    charlm uses the network with the best loss on its validation split."""
    teachers: Paths = ()
    """Runs or checkpoints of the same text, for distillation: the network learns from the mean
    prediction of their networks and from the text. The n-grams of an ensemble are not teachers."""
    teacher_share: Fraction = 0.5
    """Fraction of each training target that comes from the teachers."""

    @model_validator(mode="before")
    @classmethod
    def _default_limit(cls, keys: Any) -> Any:
        limits = ("epochs", "steps", "budget")
        if isinstance(keys, dict) and all(keys.get(limit) is None for limit in limits):
            return keys | {"epochs": 10}
        return keys


class EnsembleConfig(Section):
    """Several models that one run trains, with mixture weights for their predictions."""

    members: Annotated[int, Field(gt=0, le=100)] = 1
    """Number of networks, trained one after another; they share a budget. The first has
    `training.seed`, the others have seeds derived from it, unique to this ensemble."""
    student: Decay = 0.0
    """Fraction of the budget for one more network, the student, whose teachers are the members; 0
    trains none. With enough time it predicts better than each teacher."""
    ngram_order: Annotated[int, Field(ge=0, le=10)] | None = None
    """Longest context of the n-gram model in the ensemble, in characters (7 works well); null omits
    the n-grams."""
    keep_text: bool = True
    """Store the text of the n-grams (the last 4,000,000 characters of the training split) in the
    checkpoint. false stores only networks and mixture weights: each time charlm loads the model, it
    reads the text from its path and counts the n-grams again."""

    @property
    def size(self) -> int:
        """Number of networks, the student included."""
        return self.members + (self.student > 0)

    def share(self, number: int) -> float:
        """Return the share of a budget that a network gets; the last may be the student."""
        return self.student if number == self.members else (1 - self.student) / self.members

    @property
    def is_wanted(self) -> bool:
        """Whether there is more than one model."""
        return self.size > 1 or self.ngram_order is not None


class GenerationConfig(Section):
    """How text is generated, for the samples of a run and for `charlm generate`."""

    prefix: str = ""
    """Beginning of the text; characters outside the vocabulary are omitted."""
    length: PositiveInt = 300
    """Characters to generate (bytes, with `unit: byte`)."""
    greedy: bool = False
    """Always take the likeliest character, as in the book."""
    temperature: NonNegativeFloat = 1.0
    """Divisor of the logits; 0 means greedy."""
    top_k: PositiveInt | None = None
    """Draw only from the k likeliest characters."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Draw only from the likeliest characters that together have this probability (nucleus
    sampling)."""
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Drop characters less likely than this fraction of the likeliest one."""


class Config(Section):
    """All settings of one run."""

    corpus: CorpusConfig = CorpusConfig()
    batches: BatchesConfig = BatchesConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    generation: GenerationConfig = GenerationConfig()

    @model_validator(mode="after")
    def _check_extension(self) -> "Config":
        if self.corpus.vocabulary == "extend" and self.training.start_from is None:
            raise ValueError(
                "corpus.vocabulary: extend is for fine-tuning; set training.start_from, or use keep"
            )
        return self
