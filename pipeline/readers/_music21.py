"""A music21 score as a NoteSequence: the way of whatever note-seq's own parsers refuse.

Importing music21 costs about half a second, so its callers import this module only then.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from music21 import harmony, instrument, key, stream, tempo
from music21.bar import Repeat
from note_seq.constants import DEFAULT_QUARTERS_PER_MINUTE, STANDARD_PPQ
from note_seq.protobuf.music_pb2 import NoteSequence
from note_seq.sequences_lib import expand_section_groups


def note_sequence(score: Any, velocity: int, is_expanded: bool) -> NoteSequence:
    """Converts a score: ties merged, at sounding pitch, grace notes and chord symbols left out.

    Args:
      score: as music21's converters give it; it is changed in place.
      velocity: of the notes that have none of their own, 1-127.
      is_expanded: whether repeats and their endings are played, in the order that the first part
        prints them; if not, or where the score has no measures, everything is read once.

    Returns:
      Notes in seconds, sorted by onset; part n of the score is instrument n.
    """
    score.toSoundingPitch(inPlace=True)
    score.stripTies(inPlace=True)
    flat = score.flatten()
    parts = list(score.getElementsByClass(stream.Part)) or [score]
    clock = _Clock(flat.getElementsByClass(tempo.MetronomeMark))
    sequence = NoteSequence(ticks_per_quarter=STANDARD_PPQ)
    sequence.source_info.source_type = NoteSequence.SourceInfo.SCORE_BASED
    if score.metadata is not None:
        sequence.sequence_metadata.title = score.metadata.title or ""
        sequence.sequence_metadata.artist = score.metadata.composer or ""
    for seconds, qpm in clock.tempos():
        sequence.tempos.add(time=seconds, qpm=qpm)
    _add_signatures(sequence, flat, clock)
    _add_notes(sequence, parts, clock, velocity)
    sequence.total_time = clock.seconds(flat.highestTime)  # rests at a section's end count
    if is_expanded:
        _add_sections(sequence, list(parts[0].getElementsByClass(stream.Measure)), clock)
    return expand_section_groups(sequence)


class _Clock:
    """Quarter notes to seconds under a score's tempo marks; 120 a minute before the first."""

    def __init__(self, marks: Iterable[tempo.MetronomeMark]):
        qpms = {0.0: float(DEFAULT_QUARTERS_PER_MINUTE)}
        for mark in marks:
            qpm = mark.getQuarterBPM()
            if qpm:
                qpms[float(mark.offset)] = float(qpm)
        self._quarters = sorted(qpms)
        self._qpms = [qpms[quarters] for quarters in self._quarters]
        self._seconds = [0.0]
        for (start, end), qpm in zip(pairwise(self._quarters), self._qpms, strict=False):
            self._seconds.append(self._seconds[-1] + (end - start) * 60.0 / qpm)

    def seconds(self, quarters: Any) -> float:
        index = max(bisect.bisect_right(self._quarters, quarters) - 1, 0)
        since = float(quarters) - self._quarters[index]
        return self._seconds[index] + since * 60.0 / self._qpms[index]

    def tempos(self) -> Iterable[tuple[float, float]]:
        return zip(self._seconds, self._qpms, strict=True)


def _add_signatures(sequence: NoteSequence, flat: Any, clock: _Clock) -> None:
    """Adds time and key signatures, once where several parts print the same."""
    meters = flat.getElementsByClass("TimeSignature")
    for offset, numerator, denominator in sorted(
        {(meter.offset, meter.numerator, meter.denominator) for meter in meters}
    ):
        sequence.time_signatures.add(
            time=clock.seconds(offset), numerator=numerator, denominator=denominator
        )
    keys = flat.getElementsByClass("KeySignature")
    for offset, tonic, mode in sorted({(k.offset, *_tonic_and_mode(k)) for k in keys}):
        sequence.key_signatures.add(time=clock.seconds(offset), key=tonic, mode=mode)


def _tonic_and_mode(signature: key.KeySignature) -> tuple[int, int]:
    modes = NoteSequence.KeySignature.Mode
    if isinstance(signature, key.Key) and signature.mode.upper() in dict(modes.items()):
        return signature.tonic.pitchClass, modes.Value(signature.mode.upper())
    return signature.asKey("major").tonic.pitchClass, NoteSequence.KeySignature.NOT_SPECIFIED


def _add_notes(sequence: NoteSequence, parts: Sequence[Any], clock: _Clock, velocity: int) -> None:
    notes = []
    for index, part in enumerate(parts):
        instruments = part.recurse().getElementsByClass(instrument.Instrument)
        program = next((i.midiProgram for i in instruments if i.midiProgram is not None), 0)
        for element in part.flatten().notes:
            if isinstance(element, harmony.Harmony) or element.quarterLength == 0:
                continue
            start = clock.seconds(element.offset)
            end = clock.seconds(element.offset + element.quarterLength)
            own = element.volume.velocity or velocity
            notes += [(start, pitch.midi, end, index, program, own) for pitch in element.pitches]
    for start, pitch, end, index, program, own in sorted(notes):
        note = sequence.notes.add(start_time=start, end_time=end, pitch=pitch, velocity=own)
        note.instrument = note.part = index
        note.program = program


def _add_sections(sequence: NoteSequence, measures: Sequence[Any], clock: _Clock) -> None:
    """Marks the order in which the measures are played, as note-seq's section groups."""
    order = _played_order(measures)
    jumps = {i for a, b in pairwise(order) if b != a + 1 for i in (a + 1, b)}
    if not jumps:
        return
    starts = sorted({0, *jumps} - {len(measures)})
    for start in starts:
        sequence.section_annotations.add(
            section_id=start, time=clock.seconds(measures[start].offset)
        )
    for start in (index for index in order if index in starts):
        group = sequence.section_groups.add(num_times=1)
        group.sections.add(section_id=start)


def _played_order(measures: Sequence[Any]) -> list[int]:
    """Indices of the measures as played: each repeat twice, its second time the second ending.

    A repeat goes back to the last start sign, else to the last end of a repeat, second ending or
    double bar, as in ABC 2.1, section 4.8, and note-seq's parser.
    """
    order: list[int] = []
    index = start = 0
    is_second = is_opened = is_second_ending = False
    while index < len(measures):
        measure = measures[index]
        ending = next((b.number for b in measure.getSpannerSites("RepeatBracket")), "")
        is_end = _is_repeat(measure.rightBarline, "end")
        if _is_repeat(measure.leftBarline, "start") and index != start:
            start, is_second, is_second_ending = index, False, False
        is_opened = is_opened or _is_repeat(measure.leftBarline, "start")
        if is_second and ending == "1":
            while index < len(measures) and not _is_repeat(measures[index].rightBarline, "end"):
                index += 1
            index += 1
            continue
        is_second_ending = is_second_ending or ending == "2"
        order.append(index)
        index += 1
        is_double = getattr(measure.rightBarline, "type", "") in ("double", "final")
        if is_end and not is_second:
            index, is_second = start, True
        elif is_end or (is_double and (is_second_ending or not is_opened)):
            start = index
            is_second = is_opened = is_second_ending = False
    return order


def _is_repeat(barline: Any, direction: str) -> bool:
    return isinstance(barline, Repeat) and barline.direction == direction
