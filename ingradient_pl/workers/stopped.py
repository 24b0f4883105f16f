"""Work that was told to stop: what the shell hears of it, without importing Lightning."""


class Stopped(BaseException):
    """Work that was told to stop before its end: no error, and nothing that a sweep passes over.

    Args:
        told: What to tell the user.
        by_signal: Whether it was SIGTERM that told it; otherwise it was the keyboard.
    """

    def __init__(self, told: str, *, by_signal: bool) -> None:
        super().__init__(told)
        self.by_signal = by_signal
