"""PyTorch twins of the networks: equal shapes, weights copied from Keras, equal losses.

The only code that imports torch, which only the extra `bench` installs.
"""
