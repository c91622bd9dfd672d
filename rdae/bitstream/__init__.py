"""The `.rd` bitstream: container, range coder and limits, as FORMAT.md beside this defines them.

    varint       numbers of variable length, bounds-checked reading
    header       size, model, quality point, flags
    tiles        the grid of tiles and their checksum
    chunks       framing, order and length of chunks
    rest         what makes a lossy file exact
    graphics     the pixels of a tile as lossless WebP
    payload      deflated metadata, alpha
    container    a whole file to bytes and back
    info         what a file's framing tells
    chunk_order  where chunks of tiles stand, and stand again behind broken framing
    salvage      the parts of a damaged file that can be found
    damage       what is broken, for programs and in words
    tables       integer frequencies, under which symbols are coded
    range_coder  symbols to bytes and back (this and tables need constriction)
    plain_coder  the same in Python alone, without a kernel

Nothing here knows a network or a picture. This page imports nothing, so that reading a header does
not load the range coder.
"""
