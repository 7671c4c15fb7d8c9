"""The one error that a person is meant to read."""


class VindimaError(Exception):
    """Something that the user can mend; its text says what, where and what was expected.

    The command line prints the text alone, without a traceback, and ends with exit code 1.
    """
