"""The lossless layer P(x | z): pixels to bytes and back, exactly or within a bound.

A picture is a pyramid of polyphase levels, each coded given the coarser ones: the coarse levels are
hidden variables, and -log P(finer | coarser) under a mixture of two normals is what is written.

    pyramid      levels, passes, references
    networks     the networks of a level, as data
    model        the networks and tables of a weights file
    tables       tables of residuals, computed with integers
    walk         one level, pass by pass, the same for encoder and decoder
    colour       one colour of a pass: means, scales and tables, and its pixels
    parameters   what a tile carries: filters of its own, corrections of scales
    base         what filters see of a lossy picture beneath
    fit          how the encoder finds them
    stream       a tile to a range-coder stream and back
    estimate     whether few bytes may be enough, without asking the networks
    coding       the smaller of the two

All that a decoder computes is integers (FORMAT.md, sections 7 and 14). Papers: networks that code
the pixels of a cell one after the other, given a coarser level, are those of Cao et al. 2020 (SReC,
arXiv:2004.02872), whose coarser pixels are means; levels of phases are those of interlaced PNG;
filters that the encoder fits by least squares are those of TMW (Meyer and Tischer 1997).
"""
