"""The course's errors: each says what was given, what was expected, and where it is explained."""


class LessonError(Exception):
    """Base of every error that the course raises on purpose."""


class InputError(LessonError, ValueError):
    """An argument has the wrong shape, dtype or range."""


class DataError(LessonError, RuntimeError):
    """A dataset is missing, damaged or cannot be prepared."""


class CalibrationError(LessonError, ValueError):
    """A representative dataset would spoil the calibration (lesson 06)."""


class ConversionError(LessonError, RuntimeError):
    """The converter failed, or its result is not what the path promises (lesson 07)."""


class ModelFileError(LessonError, ValueError):
    """A file is not a readable model: corrupted, truncated, or of another kind."""


class FloatError(LessonError, TypeError):
    """A computation that promised integers only met a float (lesson 09)."""


class StorageError(LessonError, OSError):
    """A file or folder cannot be written."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class ChildDied(LessonError, RuntimeError):
    """A child process ended without an answer; ``signal`` is the signal's number, or None."""

    def __init__(self, message: str, signal: int | None = None):
        super().__init__(message, signal)
        self.signal = signal

    def __str__(self) -> str:
        return str(self.args[0])


class QualityWarning(UserWarning):
    """A file was made and runs, but its answers are far from the float model's."""
