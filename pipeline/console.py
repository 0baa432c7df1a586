"""How a command speaks to a person: progress on a terminal, mistakes in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from pipeline.errors import PipelineError

T = TypeVar("T")


def run(main: Callable[[], None]) -> None:
    """Runs a command; a PipelineError becomes one line on stderr and exit status 2."""
    try:
        main()
    except PipelineError as error:
        print(f"{_program()}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"{_program()}: stopped; run it again to go on.", file=sys.stderr)
        raise SystemExit(130) from None


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yields the items behind a progress bar; silent where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, desc=label, total=total, leave=False, dynamic_ncols=True)


def keras_verbosity() -> int:
    """Keras' progress bar on a terminal, one line an epoch elsewhere."""
    return 1 if sys.stderr.isatty() else 2


def _program() -> str:
    module = sys.modules["__main__"].__spec__
    return module.name if module else sys.argv[0]
