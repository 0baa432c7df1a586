"""Numbers of music.proto's fields, and what their bytes mean, for the parser of NoteSequences.

Compiled code is cached with these numbers in it, and the cache looks at the date of the code's own
file only: whoever changes a number here, edits _note_table_wire.py too.
"""

import numpy as np

# Slots of what is told about a sequence; its names, the fields 1 to 3, end at -1 if others come
# before them.
FAULT, ENCODING_TYPE, COLLECTION_START, COLLECTION_END, NAMES_END = range(5)

# A field begins with its number << 3 | its wire type: a varint, eight bytes, bytes after their
# length, the begin and the end of a group, four bytes.
VARINT, EIGHT_BYTES, BYTES, GROUP_BEGIN, GROUP_END, FOUR_BYTES = range(6)
COLLECTION_NAME, TIME_SIGNATURE, TEMPO, NOTE, SOURCE_INFO = (
    number << 3 | BYTES for number in (3, 5, 7, 8, 13)
)
TOTAL_TIME = 9 << 3 | EIGHT_BYTES
START_TIME, END_TIME = 3 << 3 | EIGHT_BYTES, 4 << 3 | EIGHT_BYTES
PITCH, VELOCITY, INSTRUMENT, PROGRAM, IS_DRUM = (number << 3 | VARINT for number in (1, 2, 7, 8, 9))

# What the bytes of a field are, by the message that it is in and its number: unknown, a text, or a
# message of this kind.
UNKNOWN, TEXT, NUMBERS, SEQUENCE, NAMED, METADATA, SECTION_GROUP, SECTION = range(8)
MEANINGS = np.zeros((8, 32), np.uint8)
MEANINGS[SEQUENCE, [1, 2, 3]] = TEXT
MEANINGS[SEQUENCE, [6, 10, 11, 15, 17, 20]] = NUMBERS
MEANINGS[SEQUENCE, [12, 14, 23]] = NAMED  # part_infos, text_annotations, instrument_infos
MEANINGS[SEQUENCE, 19], MEANINGS[SEQUENCE, 21] = METADATA, SECTION_GROUP
MEANINGS[NAMED, 2] = MEANINGS[METADATA, [1, 2, 3, 4]] = TEXT
MEANINGS[SECTION_GROUP, 1], MEANINGS[SECTION, 2] = SECTION, SECTION_GROUP

MAX_DEPTH = 100  # of messages and groups in each other, as protobuf has it
