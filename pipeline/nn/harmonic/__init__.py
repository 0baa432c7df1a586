"""A synthesizer of harmonics and filtered noise that a network plays: DDSP."""
