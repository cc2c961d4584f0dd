"""The result of a network's training: its best weights, their score, and a sample."""

from charlm.prediction.final_score import final_score
from charlm.runs.folder import RunFolder
from charlm.training.events import Finished
from charlm.training.state import TrainingState
from charlm.training.time_budget import TimeBudget
from charlm.training.validation import best_validation, draw_sample


def final_result(state: TrainingState, folder: RunFolder, time_budget: TimeBudget) -> Finished:
    """Load the best weights into the model, score them, and draw a sample."""
    trainer = state.trainer
    best_step = _load_best(state, folder)
    sample = draw_sample(state)
    held_out, protocol = None, ""
    if time_budget.scores_at_end:
        held_out, protocol = final_score(
            state.model,
            state.corpus,
            state.config.training,
            state.provenance,
            state.processes,
            time_budget.limit(folder.path),
        )
    return Finished(
        folder,
        step=trainer.step,
        epochs=trainer.epochs,
        characters=trainer.characters,
        seconds=trainer.seconds,
        num_parameters=state.model.num_parameters,
        training_loss=state.counters.training_loss(trainer.epochs),
        best_step=best_step,
        best_loss=state.counters.best_loss,
        held_out=held_out,
        protocol=protocol,
        sample=sample,
        validation=best_validation(state),
    )


def _load_best(state: TrainingState, folder: RunFolder) -> int:
    """Load the best weights, or the last ones if none were validated; return their step."""
    weights, best_step = state.trainer.weights(), state.trainer.step
    if state.counters.best_loss is not None:
        state.processes.wait_for_all()  # the first one has written the checkpoint
        best = state.read_matching(folder.best)
        weights, best_step = best.weights, best.step or 0
    state.model.load_state_dict(weights)
    return best_step
