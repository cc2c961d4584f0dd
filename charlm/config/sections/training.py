"""The section `training`: how, and for how long, the network is trained."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from charlm.config.sections.section import Section
from charlm.config.values import Decay, Factor, Fraction, Paths, Seconds, as_tuple


class TrainingConfig(Section):
    """How the network is trained, for how long, and which checkpoints are kept."""

    epochs: PositiveFloat | None = None
    """Stop after this many passes over the training split (10 if no limit is set)."""
    steps: PositiveInt | None = None
    """Stop after this many updates."""
    budget: Seconds | None = None
    """Train so that the whole command takes this time, from its start to the score: 90s, 3m, 1h30,
    1h30m15s. Training stops at the first limit that it reaches; setting one limit keeps the others,
    and null removes a limit."""
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
    log_to: Annotated[tuple[Literal["tensorboard"], ...], BeforeValidator(as_tuple)] = ()
    """Programs that get scalars and samples during training: `tensorboard` writes event files to
    `tensorboard/` in the run folder. It needs `pip install 'charlm-rnn[tensorboard]'`."""
    report: bool = True
    """Whether a page about the training is written to `report.html` in the run folder at its end,
    and when it is stopped (see `charlm report`)."""
    patience: PositiveInt | None = None
    """Stop after this many consecutive validations without a new best loss."""
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    """Random seed for weights, data order, dropout and samples."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to compute on; `auto` uses CUDA if available, else MPS, else the CPU."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the operands of large products, on a CPU with charlm's kernels; states,
    parameters and loss are float32. `auto` selects the faster one on this machine when the
    run starts. Without the kernels, charlm computes in float32 instead of bfloat16 and reports
    it."""
    threads: PositiveInt | Literal["auto"] = "auto"
    """Maximum number of threads on a CPU; `auto` is one per core. A run uses fewer while that is
    faster, because no result depends on the number. With `implementation: equations`, or without
    the compiled kernels, results depend on it: then a run keeps its number to its end, also when
    it is resumed, unless this setting changes."""
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
