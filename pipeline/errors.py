"""The two ways in which something can be wrong: the user's mistake, and a bad input file."""

# A finished download has up to three traces; one alone that stays would bring it back.
FETCH_AGAIN = (
    "Delete the file in data/raw and, where they are, its second name in .work/fetch and its "
    "entry in data/checksums.json, then run `dvc repro`."
)


class PipelineError(Exception):
    """A user's mistake or a broken contract; its text is one sentence that ends in the remedy.

    A command prints it without a traceback and exits with 2.
    """


class Rejected(ValueError):
    """An input that cannot be used: counted under its reason, never fatal.

    Args:
      reason: a fixed snake_case word, the key under which rejections are counted.
      detail: what was received and which rule it breaks, for this one input.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
