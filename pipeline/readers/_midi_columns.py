"""Layout of the int64 tables that the compiled MIDI reader hands from step to step.

Compiled code is cached with these numbers in it, and the cache looks at the text of the code's own
file only: whoever changes a number here, edits the compiled files that use it, too.
"""

# Kinds of events: metas by mido's numbers, channel messages by their status.
TRACK, TRACK_NAME, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x00, 0x03, 0x51, 0x58, 0x59
NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE, PITCH_BEND = 0x80, 0x90, 0xB0, 0xC0, 0xE0

# Columns of an event.
KIND, CHANNEL, TICK, A, B = range(5)

# Slots of the header: SMPTE_TICKS are ticks in 1001 s, 0 if ticks are parts of a quarter; REPAIRS
# has a bit for each kind; NUM_SECONDS, of the music, is rounded up.
DIVISION, SMPTE_TICKS, NUM_TRACKS, FIRST_TRACK = range(4)  # set by _midi_header
NUM_EVENTS, FAULT, FAULT_POSITION, REPAIRS = range(4, 8)  # set by _midi_parser
NUM_SECONDS = 8  # set by _midi_wire
HEADER_SLOTS = 9

# Faults.
TRUNCATED, NO_TRACK_HEADER, EVENT_PAST_TRACK, NO_STATUS = range(1, 5)
UNDEFINED_STATUS, LONG_MESSAGE, TOO_LONG = range(5, 8)

# Repairs, as bits.
CLIPPED_DATA_BYTE, DROPPED_MESSAGE, DROPPED_TEMPO, DROPPED_TIME_SIGNATURE = 1, 2, 4, 8
DROPPED_KEY_SIGNATURE, DROPPED_META_EVENT, EMPTY_TRACK, CUT_END_OF_TRACK = 16, 32, 64, 128
MANY_TICKS = 256

# Columns of a note; of a control, where NUMBER -1 is a pitch bend; of an instrument.
INSTRUMENT, PITCH, VELOCITY, START, END = range(5)
LIST, CONTROL_TICK, NUMBER, VALUE = range(4)
PROGRAM, IS_DRUM, CONTROLS, NAME_START, NAME_END = range(5)

# Slots of the collector's counts.
NUM_NOTES, NUM_CONTROLS, NUM_INSTRUMENTS, NUM_LISTS, NUM_OPENED = range(5)
