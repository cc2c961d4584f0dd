"""Format numbers for people."""


def count(number: int, noun: str) -> str:
    """Format a number of things: 1 character, 1,200 characters."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def option_duration(seconds: float) -> str:
    """Format seconds in the syntax of options: 90 as 1m30s, 5400 as 1h30m, 0.5 as 0.5s."""
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    amounts = ((f"{hours}", "h"), (f"{minutes}", "m"), (f"{round(rest, 3):g}", "s"))
    return "".join(amount + unit for amount, unit in amounts if amount != "0") or "0s"


def duration(seconds: float) -> str:
    """Format seconds as 0:42, 3:05 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
