"""What the processes of a `torchrun` launch cannot train."""

from charlm.config.schema import Config
from charlm.distributed.launch import launch_name, launched
from charlm.errors import ConfigError
from charlm.models.device import choose_device
from charlm.training.standard_input import check_text_can_be_read_again

_AUTO = "--auto (implied by a text without a config)"
"""What chooses the settings, as errors name it."""


def check_launch(config: Config, name: str | None, auto: bool) -> None:
    """Raise `ConfigError` for what `torchrun` cannot start or restart."""
    launch = launched()
    if launch.max_restarts:
        _check_restarts(config, name, auto)
    if launch.size == 1:
        return
    if auto or config.ensemble.is_wanted:
        what = _AUTO if auto else "an ensemble"
        raise ConfigError(f"{what} takes one process; start charlm without torchrun")
    if choose_device(config.training.device).type == "mps":
        raise ConfigError("training.device: mps takes one process; set it to cpu for several")
    check_text_can_be_read_again(config, "each process of torchrun")


def _check_restarts(config: Config, name: str | None, auto: bool) -> None:
    if name is None:
        raise ConfigError(
            "torchrun --max-restarts resumes a run by its name: give --name, or leave out "
            "--max-restarts"
        )
    if not launch_name():
        raise ConfigError(
            "torchrun --max-restarts on several machines: nothing distinguishes this launch from "
            "another, whose run it could resume; give torchrun a new --rdzv-id each time, or leave "
            "out --max-restarts"
        )
    if auto:
        raise ConfigError(f"{_AUTO} measures at each start; leave out torchrun --max-restarts")
    if config.ensemble.is_wanted:
        raise ConfigError(
            "an ensemble is resumed with --resume alone; leave out torchrun --max-restarts"
        )
