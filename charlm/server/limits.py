"""What one client may ask for, and what the server holds at once: so its memory is bounded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of requests; a request beyond one is refused with a line that names it."""

    body_bytes: int = 700_000
    """Size of a request; a prompt of 100,000 escaped characters fits."""
    prompt_characters: int = 100_000
    """Characters of a prompt, or of a text to score."""
    generated_characters: int = 100_000
    """Characters of one choice."""
    detailed_characters: int = 4_000
    """Characters of all choices of a request with `logprobs`, which take much more memory."""
    searched_characters: int = 100_000_000
    """Characters of a training text that is searched for copies; a longer one is not."""
    choices: int = 16
    """Choices of one request."""
    active_choices: int = 64
    """Choices that are generated at the same time."""
    waiting_requests: int = 256
    """Requests that wait for a place; another one is refused with status 429."""
    connections: int = 1_024
    """Open connections."""
    request_seconds: float = 600.0
    """Time from a request to its last character."""
    body_seconds: float = 10.0
    """Time to send a request."""
