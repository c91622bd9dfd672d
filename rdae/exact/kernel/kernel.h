/* What the parts of the kernel share: a network as a list of operations, and the functions that
   run one on an instruction set. FORMAT.md, section 7, defines the arithmetic. */

#ifndef RDAE_KERNEL_H
#define RDAE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define PANEL 16   /* outputs that are packed together; channel counts are padded to whole panels */
#define SEGMENT 48 /* cells that go through a stage together */
#define SLOTS 16   /* values that a stage may hold */
#define BUFFERS 6  /* of them in scratch */
#define WHOLE 32   /* values of a run are read in vectors of up to so many */
#define PARTS 4    /* of symbols that are put in order */

enum kind {
    READ, DEPTHWISE, LINEAR, PHASED, GAIN, ADD, CONCAT, WRITE, LEVELS, UNSHUFFLE, PIXELS, COLLECT, WEIGH
};

/* One operation of a stage; `rdae.exact.program` and `rdae.exact.taps` make them. */
typedef struct {
    int32_t kind;
    int32_t inputs, outputs; /* channels, padded */
    int32_t shift, leak;     /* leak 0: none */
    int32_t from, to;        /* slots */
    int32_t with;            /* slot to add or to put behind, grid to read or to write, mean of the last two; or -1 */
    int32_t r;               /* of WRITE to PIXELS: cells of the grid for one of ours; of DEPTHWISE: the size */
    int32_t part;            /* of WRITE to PIXELS: channels of a cell of the grid, not padded; else how many runs */
    int32_t buffer;          /* of the scratch that the result lies in */
    int32_t onto;            /* grid of WEIGH */
    const int16_t *weights; /* packed; of GAIN the factors */
    const int32_t *bias;    /* of COLLECT and WEIGH the runs */
} Op;

/* A grid of cells: the address of cell (0, 0), and strides in values. */
typedef struct {
    void *data;
    int64_t row, cell;
} Grid;

/* Values of a grid that lie in one piece, from the cell so many rows and columns away on. COLLECT puts
   those of `part` runs one behind the other for each cell; WEIGH makes `outputs` sums of them, in the
   grid `onto`. */
typedef struct {
    int32_t grid, row, column, values;
    int32_t is_centred; /* three values of the grid `with` are taken away, again and again */
} Run;

typedef void StageFn(const Op *ops, int count, const Grid *grids, int top, int bottom, int left,
                     int right, int16_t *scratch);

/* networks.c */
int kernel_runnable(const char *name);
int kernel_select(const char *name);
const char *kernel_name(int index);
void kernel_pack(const int16_t *weights, int inputs, int outputs, int16_t *packed);
int64_t kernel_scratch_size(int widest);
extern StageFn *kernel_stage;

/* coder.c */
#define START_BITS 8 /* of a quantile, that say where its search in a table begins */
#define STARTS ((1 << START_BITS) + 1)

/* Tables, one behind the other. */
typedef struct {
    const uint32_t *cdf;   /* each from 0 to 2^24 */
    const uint32_t *first; /* (tables, STARTS) the entry at which a search begins, for a quantile's top bits */
    const int64_t *starts; /* where each begins in cdf */
    const int32_t *sizes, *lows;
    int32_t tables;
} Family;

typedef struct {
    uint64_t range, ahead; /* of the interval: its size, and how far beyond its lower end the stream leads */
    const uint32_t *words;
    int64_t count, position;
} Coder;

void coder_begin(Coder *coder, const uint32_t *words, int64_t count);
int64_t coder_decode(Coder *coder, const Family *family, const int64_t *counts, int32_t *entries);
int coder_group(Coder *coder, const Family *family, const uint16_t *indexes, const int16_t *limits, int64_t count,
                int64_t *counts, int32_t *next, int32_t *order, int32_t *symbols);

typedef struct {
    uint64_t lower, range;
    uint32_t *words;
    int64_t count; /* words that are written, but for carries */
} Writer;

void writer_begin(Writer *writer);
int writer_encode(Writer *writer, const Family *family, int runs, const int32_t *which, const int64_t *counts,
                  const int32_t *entries, const int16_t *limits);
void writer_end(Writer *writer);

void quarter_indexes(Grid heads, int rows, int columns, int group, const int16_t *offset, int bits,
                     uint8_t *indexes);
void quarter_dequantise(Grid means, int rows, int columns, int group, const int32_t *symbols,
                        const int32_t *step, int shift, int mean_bits, int16_t *y_hat);
void quarter_quantise(Grid y, Grid means, int rows, int columns, int group, const float *unit,
                      const float *gain, const uint8_t *indexes, const float *zones, int reach,
                      int32_t *symbols);
int group_by_table(const uint16_t *indexes, int64_t count, int tables, int64_t *counts, int32_t *next,
                   int32_t *order);

/* lossless.c: one colour of a pass of a level. */
typedef struct {
    int32_t number, channel;   /* in the order of coding, and of a pixel */
    int32_t before[2];         /* channels of the colours coded before */
    int32_t same[2];           /* what their differences add in any tile, in 2^-12 */
    int32_t factor[2], gain;   /* of the tile: the same, and of the network's mean; in 2^-9 */
    int32_t slope, row, shape; /* of the tile: corrections, in 2^-8, 1/8 and 1/8 */
} Colour;

void level_predict(const Colour *colour, Grid head, Grid reference, Grid linear, Grid added, Grid own, int rows,
                   int columns, int16_t *means, uint8_t *scales, uint16_t *indexes);
void level_settle(const Colour *colour, const uint8_t *pixels, int64_t pixel_row, int64_t pixel_cell, int rows,
                  int columns, int across, const int16_t *means, const uint8_t *scales, const int32_t *inverse,
                  Grid reference, Grid added, Grid features);
int level_restore(const int32_t *bins, const int16_t *means, int rows, int columns, int across, int width,
                  int beyond, uint8_t *pixels, int64_t pixel_row, int64_t pixel_cell);

#endif
