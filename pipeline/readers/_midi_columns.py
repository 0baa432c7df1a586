"""Layout of the int64 tables that the compiled MIDI reader hands from step to step.

Compiled code is cached with these numbers in it, and the cache looks at the date of the code's own
file only: whoever changes a number here, edits the three files that import it too.
"""

# Kinds of events: metas by mido's numbers, channel messages by their status.
TRACK, TRACK_NAME, TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x00, 0x03, 0x51, 0x58, 0x59
NOTE_OFF, NOTE_ON, CONTROL_CHANGE, PROGRAM_CHANGE, PITCH_BEND = 0x80, 0x90, 0xB0, 0xC0, 0xE0

# Columns of an event.
KIND, CHANNEL, TICK, A, B = range(5)

# Slots of the parser's header.
NUM_EVENTS, DIVISION, FAULT, FAULT_POSITION = range(4)

# Columns of a note; of a control, where NUMBER -1 is a pitch bend; of an instrument.
INSTRUMENT, PITCH, VELOCITY, START, END = range(5)
LIST, CONTROL_TICK, NUMBER, VALUE = range(4)
PROGRAM, IS_DRUM, CONTROLS, NAME_START, NAME_END = range(5)

# Slots of the collector's counts.
NUM_NOTES, NUM_CONTROLS, NUM_INSTRUMENTS, NUM_LISTS, NUM_OPENED = range(5)
