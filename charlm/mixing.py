"""The end of a run of several members: their mixture with n-grams, fitted, saved and scored."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

from charlm.checkpoint import Checkpoint, read_checkpoint
from charlm.config import Config
from charlm.ensemble import Ensemble
from charlm.errors import CorpusError
from charlm.model import LanguageModel, choose_device
from charlm.predictor import Predictor, final_score, generate, training_corpus
from charlm.reports import Finished, Report
from charlm.run import Run, checkpoint_to_use

_COUNTED = 4_000_000
"""Characters of training text, its last, of which n-grams are counted: some hundred bytes each."""


def mix_members(
    run: Run, config: Config, finished: list[Finished], on_report: Callable[[Report], None]
) -> Finished:
    """Mix the best of each member, write it as the best checkpoint of `run`, and score it.

    The mixture is fitted on the validation part, by which the members were chosen, too. Raises
    `CorpusError` if the text has changed from one member to another.
    """
    start = perf_counter()
    checkpoints = [read_checkpoint(checkpoint_to_use(member.run.folder)) for member in finished]
    vocabulary = checkpoints[0].vocabulary
    if len({checkpoint.fingerprint for checkpoint in checkpoints}) > 1:
        raise CorpusError(
            f"{run.folder}: its members learnt from different texts; remove those of one, "
            "and resume"
        )
    corpus = training_corpus(checkpoints[0])
    device = choose_device(config.training.device)
    models = [checkpoint.make_model(device) for checkpoint in checkpoints]
    members = [model for model in models if isinstance(model, LanguageModel)]
    train, validation = corpus.parts["train"].ids, corpus.parts["validation"].ids
    counted = np.array(train[-_COUNTED:])
    ensemble = Ensemble(members, config.ensemble.ngram_order or 0, counted)
    if len(validation) > 1:
        ensemble.fit(train, np.array(validation))
    # What was decided for the members: shape (that of `start_from`), precision.
    trained = checkpoints[0].config
    decided = {"precision": trained.training.precision, "threads": trained.training.threads}
    training = config.training.model_copy(update=decided)
    config = config.model_copy(update={"model": trained.model, "training": training})
    run.write_config(config)
    checkpoint = Checkpoint(config, vocabulary, corpus.fingerprint, ensemble.tensors())
    run.save_best(checkpoint)
    ensemble.precision = config.training.product_precision
    held_out, rows = final_score(ensemble, corpus, config.training)
    predictor = Predictor(ensemble, vocabulary, config)
    sample = "".join(generate(predictor, seed=config.training.seed))
    whole = Finished(
        run,
        step=sum(member.step for member in finished),
        epochs=sum(member.epochs for member in finished),
        characters=sum(member.characters for member in finished),
        seconds=sum(member.seconds for member in finished) + perf_counter() - start,
        num_parameters=ensemble.num_parameters,
        training_loss=None,
        best_step=sum(member.best_step for member in finished),
        held_out=held_out,
        held_out_rows=rows,
        sample=predictor.prefix + sample,
    )
    on_report(whole)
    return whole
