"""Ways in which a training diverges."""

UNCLIPPED = [
    "training.optimizer=sgd",
    "training.max_gradient_norm=null",
    "training.schedule=constant",
    "training.save_every=15",
]


NOT_A_NUMBER = [  # at step 39
    *UNCLIPPED,
    "model.cell=rnn",
    "model.nonlinearity=relu",
    "batches.sampling=random",
    "training.learning_rate=17",
    "training.warmup_steps=60",
    "training.steps=120",
]


LEAPS = [  # three times, and then learns
    *UNCLIPPED,
    "model.cell=rnn",
    "training.learning_rate=31",
    "training.warmup_steps=200",
    "training.steps=300",
    "training.validate_every=70",
    "training.average=0.9",
]
