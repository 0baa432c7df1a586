"""What is wrong with some files of the real Lakh archive, done to whole ones."""

from __future__ import annotations

# Each with the reason for which the MIDI reader refuses it, or None if it reads or repairs it.
FAULTS = {
    "truncated": "truncated_midi",
    "html": "not_midi",
    "missing_track": "bad_track",
    "data_byte": None,
    "key_signature": None,
    "denominator": None,
    "smpte": None,
    "resolution_32767": None,
    "zero_events": None,
    "type_2": None,
    "header_only": "truncated_midi",
    "endless": "too_long",
    "empty": "not_midi",  # once, since a file's name is the md5 of its content
}


def damaged(content: bytes, fault: str, number: int) -> bytes:
    """Breaks a file of `composer` as files of the real archive are broken.

    Args:
      content: the whole file.
      fault: a key of FAULTS.
      number: its number, which varies pages and headers.
    """
    if fault == "truncated":
        return content[: 20 + (len(content) - 40) * (1 + number % 97) // 98]
    if fault == "html":
        page = f"<!DOCTYPE html><html><head><title>404 Not Found</title></head>{number}</html>\n"
        return page.encode()
    if fault == "missing_track":
        place = content.rindex(b"MTrk")
        return content[:place] + b"MTrX" + content[place + 4 :]
    if fault == "data_byte":  # the last note's velocity, before the end of the track
        return content[:-5] + b"\xc8" + content[-4:]
    if fault == "key_signature":
        return _overwritten(content, content.index(b"\xff\x59\x02") + 3, b"\x09")
    if fault == "denominator":
        return _overwritten(content, content.index(b"\xff\x58\x04") + 4, b"\x40")
    if fault == "smpte":
        return _overwritten(content, 12, b"\xe7\x28")
    if fault == "resolution_32767":
        return _overwritten(content, 12, b"\x7f\xff")
    if fault == "zero_events":
        added = _overwritten(content, 11, bytes([content[11] + 1]))
        return added + b"MTrk\0\0\0\0"
    if fault == "type_2":
        return _overwritten(content, 9, b"\x02")
    if fault == "header_only":
        return content[:14] + b"MTrk" + number.to_bytes(4, "big")
    if fault == "endless":  # nine rests of the longest kind before all that the last track plays
        place = content.rindex(b"MTrk") + 8
        rests = b"\xff\xff\xff\x7f\xff\x01\0" * 9
        size = len(content) - place + len(rests)
        return content[: place - 4] + size.to_bytes(4, "big") + rests + content[place:]
    return b""


def _overwritten(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]
