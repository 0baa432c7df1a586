"""PyTorch twins of the networks: equal shapes, weights copied from Keras, equal losses.

The only code that imports torch, which only the extra `bench` installs.
"""

from importlib.util import find_spec


def can_run() -> bool:
    """Whether torch is installed; says how to install it where it is not."""
    is_installed = find_spec("torch") is not None
    if not is_installed:
        print("torch is not installed, so there is no twin. Run: pip install -e '.[bench]'")
    return is_installed
