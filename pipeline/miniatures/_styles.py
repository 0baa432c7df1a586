"""The six genres of the miniature Lakh: what each instrument plays in a bar, as data.

A position is a selection of beats plus an offset in beats, so that one pattern serves every metre.
Programs and drums are numbered as in General MIDI, from 0.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Beats = Literal["first", "second", "middle", "last", "even", "odd", "all"]
TO_BAR_END = 0.0

KICK, SIDE_STICK, SNARE, CLOSED_HAT, PEDAL_HAT, OPEN_HAT = 36, 37, 38, 42, 44, 46
RIDE, TAMBOURINE, SHAKER = 51, 54, 70


class Hit(NamedTuple):
    """A note, or a chord, that recurs in every bar.

    Attributes:
      what: a drum's pitch; for the bass the index of a chord tone (0 root, 1 third, 2 fifth,
        3 the root above); unused for chords.
      beats: the beats of the bar on which it falls, counted from 0.
      offset_beats: how much later it falls, in 0..1; 2/3 is a swung half beat.
      length_beats: how long it sounds; TO_BAR_END: until the bar ends.
      velocity: 1-127, before accents and noise.
    """

    what: int
    beats: Beats
    offset_beats: float
    length_beats: float
    velocity: int


class Style(NamedTuple):
    """A genre.

    Attributes:
      beats_per_minute: range of the tempo.
      voicing: the chord's tones in steps of the scale above its root.
      melody, chords, bass, pad: General MIDI programs to choose from; no pad where empty.
      chord_hits, bass_hits, drum_hits: one bar; at most 2, 4 and 8 notes in 4/4.
    """

    beats_per_minute: tuple[int, int]
    voicing: tuple[int, ...]
    melody: tuple[int, ...]
    chords: tuple[int, ...]
    bass: tuple[int, ...]
    pad: tuple[int, ...]
    chord_hits: tuple[Hit, ...]
    bass_hits: tuple[Hit, ...]
    drum_hits: tuple[Hit, ...]


TRIAD, POWER, SEVENTH = (0, 2, 4), (0, 4, 7), (0, 2, 4, 6)

STYLES = {
    # Four-square: backbeat, power chords on two halves, roots below the kick.
    "Rock": Style(
        beats_per_minute=(120, 148),
        voicing=POWER,
        melody=(29, 30),
        chords=(29, 30),
        bass=(33, 34),
        pad=(),
        chord_hits=(
            Hit(0, "first", 0, 1.5, 96),
            Hit(0, "middle", 0, 1.5, 92),
        ),
        bass_hits=(Hit(0, "first", 0, 1.5, 100), Hit(0, "middle", 0, 1.5, 96)),
        drum_hits=(
            Hit(KICK, "even", 0, 0.25, 112),
            Hit(SNARE, "odd", 0, 0.25, 114),
            Hit(CLOSED_HAT, "all", 0, 0.25, 88),
        ),
    ),
    # Piano held over the bar, strings, a light backbeat with the hat between the beats.
    "Pop": Style(
        beats_per_minute=(96, 116),
        voicing=TRIAD,
        melody=(24, 25, 26),
        chords=(0, 1),
        bass=(33, 35),
        pad=(48, 49),
        chord_hits=(Hit(0, "first", 0, TO_BAR_END, 72),),
        bass_hits=(Hit(0, "first", 0, 1.5, 86), Hit(2, "last", 0.5, 0.5, 78)),
        drum_hits=(
            Hit(KICK, "first", 0, 0.25, 98),
            Hit(KICK, "middle", 0.5, 0.25, 90),
            Hit(SNARE, "odd", 0, 0.25, 92),
            Hit(CLOSED_HAT, "all", 0.5, 0.25, 66),
        ),
    ),
    # Boom-chick: bass on root and fifth, guitar between, side stick and shaker.
    "Country": Style(
        beats_per_minute=(80, 100),
        voicing=TRIAD,
        melody=(22, 40, 105),
        chords=(25,),
        bass=(32,),
        pad=(),
        chord_hits=(Hit(0, "odd", 0, 0.5, 78),),
        bass_hits=(Hit(0, "first", 0, 0.9, 92), Hit(2, "middle", 0, 0.9, 88)),
        drum_hits=(
            Hit(SIDE_STICK, "odd", 0, 0.25, 80),
            Hit(TAMBOURINE, "first", 0, 0.25, 70),
            Hit(SHAKER, "all", 0.5, 0.25, 60),
        ),
    ),
    # Swung ride, walking bass, seventh chords on the Charleston rhythm.
    "Jazz": Style(
        beats_per_minute=(144, 200),
        voicing=SEVENTH,
        melody=(11, 56, 65, 66),
        chords=(0,),
        bass=(32,),
        pad=(),
        chord_hits=(
            Hit(0, "first", 0, 0.6, 68),
            Hit(0, "second", 2 / 3, 0.3, 74),
        ),
        bass_hits=(
            Hit(0, "first", 0, 0.95, 84),
            Hit(1, "second", 0, 0.95, 78),
            Hit(2, "middle", 0, 0.95, 82),
            Hit(3, "last", 0, 0.95, 78),
        ),
        drum_hits=(
            Hit(RIDE, "all", 0, 0.25, 82),
            Hit(RIDE, "odd", 2 / 3, 0.25, 64),
            Hit(PEDAL_HAT, "odd", 0, 0.25, 76),
        ),
    ),
    # Kick on every beat, open hat and bass between, synthetic pad.
    "Electronic": Style(
        beats_per_minute=(122, 136),
        voicing=TRIAD,
        melody=(80, 81, 87),
        chords=(4, 5),
        bass=(38, 39),
        pad=(50, 51),
        chord_hits=(
            Hit(0, "second", 0.5, 0.25, 84),
            Hit(0, "last", 0.5, 0.25, 80),
        ),
        bass_hits=(Hit(0, "first", 0.5, 0.4, 104), Hit(3, "middle", 0.5, 0.4, 100)),
        drum_hits=(
            Hit(KICK, "all", 0, 0.25, 120),
            Hit(OPEN_HAT, "all", 0.5, 0.25, 92),
        ),
    ),
    # One drop: nothing on the first beat, kick and stick on the middle; guitar on the offbeats.
    "Reggae": Style(
        beats_per_minute=(62, 76),
        voicing=TRIAD,
        melody=(17, 57, 64),
        chords=(27, 28),
        bass=(33, 36),
        pad=(),
        chord_hits=(Hit(0, "odd", 0, 0.25, 90),),
        bass_hits=(Hit(0, "first", 0.5, 0.5, 110), Hit(2, "middle", 0.5, 0.75, 106)),
        drum_hits=(
            Hit(KICK, "middle", 0, 0.25, 108),
            Hit(SIDE_STICK, "middle", 0, 0.25, 104),
            Hit(CLOSED_HAT, "all", 0.5, 0.25, 72),
        ),
    ),
}
