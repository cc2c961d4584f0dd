"""The lines that training writes to `metrics.jsonl`."""

from typing import Any

from charlm.prediction.perplexity import Score
from charlm.runs.folder import RunFolder
from charlm.training.counters import Mean, is_due
from charlm.training.events import Logged
from charlm.training.state import TrainingState
from charlm.training.step_result import StepResult


class MetricsLog:
    """Writes the lines of training, validation and pauses."""

    def __init__(self, state: TrainingState, folder: RunFolder) -> None:
        self.state = state
        self.folder = folder

    def add_step(self, step: StepResult) -> Logged | None:
        """Count a step; write a line if one is due or an epoch ends, and return its event."""
        counters = self.state.counters
        counters.line.add(step)
        counters.epoch.add(step)
        epoch_ended = step.epoch.is_integer()
        if epoch_ended or is_due(step.step, self.state.config.training.log_every):
            return self._log_training(step, epoch_ended)
        return None

    def _log_training(self, step: StepResult, epoch_ended: bool) -> Logged:
        counters = self.state.counters
        line: dict[str, Any] = {
            **self._progress(),
            **counters.line.losses,
            "gradient_norm": step.gradient_norm,
            "learning_rate": step.learning_rate,
            "characters_per_second": counters.line.characters / counters.line.seconds,
        }
        counters.line = Mean()
        if epoch_ended:
            counters.last_epoch_loss = line["epoch_loss"] = counters.epoch.loss
            counters.epoch = Mean()
        self.folder.logs.add_metrics(line)
        return Logged(line)

    def log_validation(self, score: Score) -> None:
        """Write the line of a validation."""
        values = score.to_json()  # an infinite perplexity is null there, as JSON requires
        self.folder.logs.add_metrics(
            {
                **self._progress(),
                "validation_loss": values["nats_per_character"],
                "validation_perplexity": values["perplexity"],
                "validation_bits_per_character": values["bits_per_character"],
                "validation_bits_per_byte": values["bits_per_byte"],
                "validation_unknown_characters": values["unknown_characters"],
                "validation_precision": score.precision,
            }
        )

    def log_pause(self, seconds: float) -> None:
        """Write the line of a pause of the process."""
        step = self.state.trainer.step
        self.folder.logs.add_metrics({"event": "paused", "step": step, "seconds": seconds})

    def _progress(self) -> dict[str, Any]:
        """Return the beginning of a line of training or validation."""
        trainer = self.state.trainer
        return {
            "step": trainer.step,
            "epoch": trainer.epochs,
            "characters": trainer.characters,
            "seconds": trainer.seconds,
        }
