/* The stages of one instruction set, ISA, and what moves values between layers; included by
   networks.c for each. */

#include "vectors.h"

#include "layers.h"

/* To a grid that is r times as fine; r = 1 copies. */
INLINE TARGET void NAME(write)(Slot s, int cells, int part, int r, int row, int column, Grid g) {
    for (int c = 0; c < cells; c++)
        for (int i = 0; i < r; i++) {
            int16_t *to = (int16_t *)g.data + ((int64_t)row * r + i) * g.row +
                          ((int64_t)column + c) * r * g.cell;
            const int16_t *from = s.data + c * s.cell + (ptrdiff_t)i * r * part;
            if (g.cell == part)
                memcpy(to, from, (size_t)r * part * sizeof *to);
            else
                for (int j = 0; j < r; j++)
                    memcpy(to + j * g.cell, from + (ptrdiff_t)j * part, (size_t)part * sizeof *to);
        }
}

/* To bytes: values are levels times 2^shift. */
INLINE TARGET void NAME(levels)(Slot s, int cells, int part, int r, int shift, int row, int column,
                                Grid g) {
    const int32_t half = 1 << (shift - 1), count = r * part;
    for (int i = 0; i < r; i++) {
        uint8_t *to = (uint8_t *)g.data + ((int64_t)row * r + i) * g.row + (int64_t)column * r * g.cell;
        for (int c = 0; c < cells; c++) {
            const int16_t *from = s.data + c * s.cell + (ptrdiff_t)i * count;
            for (int k = 0; k < count; k++) {
                int v = (from[k] + half) >> shift;
                to[(ptrdiff_t)c * count + k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
            }
        }
    }
}

/* From a grid that is r times as fine: all channels of its cells, one behind the other. */
INLINE TARGET void NAME(unshuffle)(Grid g, int row, int column, int cells, int part, int r, Slot out) {
    const int together = g.cell == part ? r : 1; /* cells that lie side by side */
    for (int c = 0; c < cells; c++)
        for (int i = 0; i < r; i++) {
            const int16_t *from = (const int16_t *)g.data + ((int64_t)row * r + i) * g.row +
                                  ((int64_t)column + c) * r * g.cell;
            int16_t *to = out.data + c * out.cell + (ptrdiff_t)i * r * part;
            for (int j = 0; j < r; j += together)
                memcpy(to + (ptrdiff_t)j * part, from + j * g.cell, (size_t)together * part * sizeof *to);
        }
}

/* The same from bytes, which become features of an analysis. */
INLINE TARGET void NAME(pixels)(Grid g, int row, int column, int cells, int part, int r, Slot out) {
    const int together = g.cell == part ? r : 1;
    for (int c = 0; c < cells; c++)
        for (int i = 0; i < r; i++) {
            const uint8_t *from = (const uint8_t *)g.data + ((int64_t)row * r + i) * g.row +
                                  ((int64_t)column + c) * r * g.cell;
            int16_t *to = out.data + c * out.cell + (ptrdiff_t)i * r * part;
            for (int j = 0; j < r; j += together, from += together * g.cell)
                for (int k = 0; k < together * part; k++) *to++ = (int16_t)(2 * from[k] - 255);
        }
}

/* Runs of values around each cell, one behind the other. */
INLINE TARGET void NAME(collect)(const Run *runs, int count, const Grid *grids, const Grid *mean,
                                 int row, int column, int cells, Slot out) {
    int16_t means[3 * PANEL];
    for (int c = 0; c < cells; c++) {
        int16_t *to = out.data + c * out.cell;
        if (mean) {
            const int16_t *of = (const int16_t *)mean->data + row * mean->row + (column + c) * mean->cell;
            const int16_t a = of[0], b = of[1], d = of[2];
            for (int k = 0; k < 3 * PANEL; k += 3) means[k] = a, means[k + 1] = b, means[k + 2] = d;
        }
        for (const Run *run = runs; run < runs + count; to += run->values, run++) {
            const Grid *g = grids + run->grid;
            const int16_t *from = (const int16_t *)g->data + (row + run->row) * g->row +
                                  (column + c + run->column) * g->cell;
            if (!run->is_centred)
                memcpy(to, from, (size_t)run->values * sizeof *to);
            else
                for (int first = 0; first < run->values; first += 3 * PANEL)
                    for (int k = first; k < run->values && k < first + 3 * PANEL; k++)
                        to[k] = (int16_t)(from[k] - means[k - first]);
        }
    }
}

#if !defined(__wasm__) /* JavaScript collects for a linear layer */
#include "weigh.h"
#endif

/* Run a stage on rows [top, bottom) and columns [left, right), segment by segment, so that what is
   between its layers never leaves the cache. Threads may run other parts meanwhile. */
static TARGET void NAME(stage)(const Op *ops, int count, const Grid *grids, int top, int bottom,
                               int left, int right, int16_t *scratch) {
    int widest = 0, columns = right - left;
    for (const Op *op = ops; op < ops + count; op++) {
        if (op->outputs > widest) widest = op->outputs;
        if (op->inputs > widest) widest = op->inputs;
    }
    /* even segments of whole pairs of columns */
    int segments = (columns + SEGMENT - 1) / SEGMENT;
    int size = segments ? ((columns + segments - 1) / segments + 1) & ~1 : 0;
    for (int row = top; row < bottom; row++)
        for (int column = left; column < right; column += size) {
            int n = right - column < size ? right - column : size;
            Slot slots[SLOTS] = {{NULL, 0}};
            for (const Op *op = ops; op < ops + count; op++) {
                Slot in = slots[op->from], with = {NULL, 0};
                Slot out = {scratch + (size_t)op->buffer * SEGMENT * widest, op->outputs};
                const Grid *g = op->with >= 0 ? grids + op->with : NULL;
                switch (op->kind) {
                case READ:
                    out.data = (int16_t *)g->data + row * g->row + column * g->cell, out.cell = g->cell;
                    break;
                case DEPTHWISE:
                    NAME(depthwise)(op->r, (int16_t *)g->data + row * g->row + column * g->cell, g->row,
                                    g->cell, n, op->inputs, op->weights, op->bias, op->shift, out.data,
                                    out.cell);
                    break;
                case LINEAR:
                    if (op->with >= 0) with = slots[op->with];
                    NAME(linear)(in.data, in.cell, n, op->inputs, op->weights, op->bias, op->outputs,
                                 op->shift, op->leak, out.data, out.cell, with.data, with.cell);
                    break;
                case PHASED: /* weights for each of the four phases of the cells */
                    for (int p = 0; p < 2; p++) {
                        int phase = 2 * (row & 1) + p, q = p ^ (column & 1);
                        NAME(linear)(in.data + q * in.cell, 2 * in.cell, (n + 1 - q) / 2, op->inputs,
                                     op->weights + (ptrdiff_t)phase * op->inputs * op->outputs,
                                     op->bias + (ptrdiff_t)phase * op->outputs, op->outputs, op->shift,
                                     op->leak, out.data + q * out.cell, 2 * out.cell, NULL, 0);
                    }
                    break;
                case GAIN:
                    if (op->with >= 0) with = slots[op->with];
                    NAME(gain)(in.data, in.cell, n, op->inputs, op->weights, op->shift, out.data,
                               out.cell, with.data, with.cell);
                    break;
                case ADD:
                    with = slots[op->with];
                    NAME(add)(in, with, n, op->inputs, out);
                    break;
                case CONCAT:
                    with = slots[op->with];
                    for (int c = 0; c < n; c++) {
                        memcpy(out.data + c * out.cell, in.data + c * in.cell,
                               (size_t)op->inputs * sizeof(int16_t));
                        memcpy(out.data + c * out.cell + op->inputs, with.data + c * with.cell,
                               (size_t)(op->outputs - op->inputs) * sizeof(int16_t));
                    }
                    break;
                case WRITE:
                    NAME(write)(in, n, op->part, op->r, row, column, *g);
                    continue;
                case UNSHUFFLE:
                    NAME(unshuffle)(*g, row, column, n, op->part, op->r, out);
                    break;
                case PIXELS:
                    NAME(pixels)(*g, row, column, n, op->part, op->r, out);
                    break;
                case COLLECT:
                    NAME(collect)((const Run *)(const void *)op->bias, op->part, grids, g, row, column, n, out);
                    break;
#if !defined(__wasm__)
                case WEIGH:
                    NAME(weigh)(op, grids, row, column, n);
                    continue;
#endif
                case LEVELS:
                    NAME(levels)(in, n, op->part, op->r, op->shift, row, column, *g);
                    continue;
                }
                slots[op->to] = out;
            }
        }
}

#include "no_vectors.h"
