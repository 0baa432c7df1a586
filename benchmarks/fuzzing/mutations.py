"""Damaged inputs: whole ones with bytes flipped, moved, repeated, cut, or numbers in them changed.

Everything is drawn from one random.Random, so that an input is known by its format, seed and index.
"""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from random import Random

MAX_BYTES = 1 << 15
_NUM_STEPS = (1, 1, 1, 2, 2, 3, 5, 12)
_INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFFFFFF)
_INTEGERS += (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_NUMBERS = (b"0", b"1", b"-1", b"00", b"0.5", b"127", b"128", b"255", b"999", b"65536", b"1e9")
_NUMBERS += (b"2147483648", b"1e308", b"1e999", b"-1e-300", b"NaN", b"Infinity", b"9" * 40)
_DIGITS = re.compile(rb"\d+")

Step = Callable[[bytearray, Random, Sequence[bytes], Sequence[bytes]], None]


def mutated(seeds: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """One of the seeds after one to twelve steps of damage.

    Args:
      seeds: whole inputs of one format.
      tokens: byte strings that mean something in it.
      random: decides everything.
    """
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice(_NUM_STEPS)):
        random.choice(_STEPS)(data, random, seeds, tokens)
        del data[MAX_BYTES:]
    return bytes(data)


def mutated_xml(seeds: Sequence[bytes], tokens: Sequence[bytes], random: Random) -> bytes:
    """Mostly an XML document whose elements are changed, so that it still is one; see `mutated`."""
    if random.random() < 0.2:
        return mutated(seeds, tokens, random)
    root = ET.fromstring(random.choice(seeds))
    for _ in range(random.choice(_NUM_STEPS)):
        elements = list(root.iter())
        parents = [element for element in elements if len(element)]
        if not parents:
            break
        element, parent = random.choice(elements), random.choice(parents)
        child = random.choice(list(parent))
        match random.randrange(6):
            case 0:
                parent.remove(child)
            case 1 if len(elements) < 3000:
                for _copy in range(random.choice((1, 1, 2, 20))):
                    parent.insert(random.randrange(len(parent) + 1), copy.deepcopy(child))
            case 2:
                element.text = random.choice(_NUMBERS).decode()
            case 3:
                element.tag = random.choice(elements).tag
            case 4:
                for name in sorted(element.attrib):
                    element.set(name, random.choice(_NUMBERS).decode())
            case 5 if len(elements) < 3000 and parent is not root:
                random.choice(parents).append(copy.deepcopy(element if len(element) < 9 else child))
    return ET.tostring(root)


def _flip_bit(data: bytearray, random: Random, *_: object) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set_byte(data: bytearray, random: Random, *_: object) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _set_integer(data: bytearray, random: Random, *_: object) -> None:
    """Writes an integer at which programs break, in some width and byte order."""
    width = random.choice((1, 2, 2, 4, 4, 8))
    value = random.choice(_INTEGERS) & ((1 << 8 * width) - 1)
    place = random.randrange(len(data) + 1)
    data[place : place + width] = value.to_bytes(width, random.choice(("big", "little")))


def _change_length(data: bytearray, random: Random, *_: object) -> None:
    """Changes a number that may be a length or an offset, as it is less than what there is."""
    for _attempt in range(20):
        place, width = random.randrange(len(data) + 1), random.choice((1, 2, 4))
        order = random.choice(("big", "little"))
        value = int.from_bytes(data[place : place + width], order)
        if 0 < value <= len(data) and place + width <= len(data):
            changed = random.choice((value - 1, value + 1, 2 * value, 0, len(data), *_INTEGERS))
            data[place : place + width] = (changed % (1 << 8 * width)).to_bytes(width, order)
            return


def _change_number(data: bytearray, random: Random, *_: object) -> None:
    """Changes a number that is written in digits."""
    found = [match.span() for match in _DIGITS.finditer(data)]
    if found:
        start, end = random.choice(found)
        data[start:end] = random.choice(_NUMBERS)


def _remove(data: bytearray, random: Random, *_: object) -> None:
    start, end = _part(data, random)
    del data[start:end]


def _repeat(data: bytearray, random: Random, *_: object) -> None:
    start, end = _part(data, random)
    data[end:end] = data[start:end] * random.choice((1, 1, 2, 7, 50, 1000))


def _move(data: bytearray, random: Random, *_: object) -> None:
    start, end = _part(data, random)
    part = data[start:end]
    del data[start:end]
    place = random.randrange(len(data) + 1)
    data[place:place] = part


def _cut(data: bytearray, random: Random, *_: object) -> None:
    if random.random() < 0.3:  # it ends most attempts to find more
        del data[random.randrange(len(data) + 1) :]


def _blank(data: bytearray, random: Random, *_: object) -> None:
    start, end = _part(data, random)
    data[start:end] = bytes([random.choice((0, 0x20, 0xFF))]) * (end - start)


def _splice(data: bytearray, random: Random, seeds: Sequence[bytes], *_: object) -> None:
    other = random.choice(seeds)
    start, end = _part(other, random)
    place = random.randrange(len(data) + 1)
    data[place : place + random.choice((0, end - start))] = other[start:end]


def _put_token(
    data: bytearray, random: Random, _: Sequence[bytes], tokens: Sequence[bytes]
) -> None:
    token = random.choice(tokens) * random.choice((1, 1, 1, 1, 3, 300))
    place = random.randrange(len(data) + 1)
    data[place : place + random.choice((0, len(token)))] = token


def _part(data: Sequence[int], random: Random) -> tuple[int, int]:
    longest = random.choice((4, 32, 256, len(data)))
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.randint(0, longest))


_STEPS: tuple[Step, ...] = (
    _flip_bit,
    _set_byte,
    _set_byte,
    _set_integer,
    _change_length,
    _change_number,
    _remove,
    _repeat,
    _move,
    _cut,
    _blank,
    _splice,
    _put_token,
    _put_token,
)
