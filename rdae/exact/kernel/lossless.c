/* Between the networks of a lossless pass and its symbols (FORMAT.md, section 14). */

#include "kernel.h"

enum { FRACTION = 7, FACTOR = 12, COEFFICIENT = 9, SLOPE = 8, CORRECTION = 4, NORMALISED = 6 };
enum { LARGEST_MEAN = 255 << FRACTION, LARGEST_NORMALISED = 6 << 12 };
enum { SCALES = 48, PHASES = 8, SHAPES = 4 };

static inline int32_t within(int32_t v, int32_t least, int32_t most) {
    return v < least ? least : v > most ? most : v;
}

static inline int32_t scaled(int32_t v, int32_t factor, int bits) {
    return (v * factor + (1 << (bits - 1))) >> bits;
}

/* Mean, row of the scale and table of one colour, of all cells.

   head: its mean, row, shape, and factors of the errors of the colours before. reference, linear: of all
   colours. added: of all colours their differences, then their errors. own: what the tile's filter adds,
   by order of coding; no data for none. means, scales, indexes: (rows, columns). */
void level_predict(const Colour *colour, Grid head, Grid reference, Grid linear, Grid added, Grid own, int rows,
                   int columns, int16_t *means, uint8_t *scales, uint16_t *indexes) {
    const Colour s = *colour;
    for (int i = 0; i < rows; i++) {
        const int16_t *h = (const int16_t *)head.data + i * head.row;
        const int16_t *r = (const int16_t *)reference.data + i * reference.row;
        const int16_t *l = (const int16_t *)linear.data + i * linear.row;
        const int16_t *a = (const int16_t *)added.data + i * added.row;
        const int16_t *o = own.data ? (const int16_t *)own.data + i * own.row : NULL;
        for (int j = 0; j < columns; j++) {
            int32_t mean = r[s.channel] + l[s.channel] + h[0];
            for (int k = 0; k < s.number; k++) {
                const int32_t difference = a[s.before[k]];
                mean += scaled(a[3 + s.before[k]], h[3 + k], FACTOR) + scaled(difference, s.same[k], FACTOR);
                if (o) mean += scaled(difference, s.factor[k] * (1 << (FACTOR - COEFFICIENT)), FACTOR);
            }
            if (o) {
                mean += o[s.number] + scaled(h[0], s.gain, COEFFICIENT);
                o += own.cell;
            }
            mean = within(mean, 0, LARGEST_MEAN);
            const int32_t row = h[1] + ((h[1] * s.slope) >> SLOPE) + s.row * (1 << CORRECTION);
            const int32_t shape = h[2] + s.shape * (1 << CORRECTION);
            const int32_t half = 1 << (FRACTION - 1), phase = ((mean + half) & (2 * half - 1)) >> 4;
            const int32_t scale = within((row + half) >> FRACTION, 0, SCALES - 1);
            *means++ = (int16_t)mean;
            *scales++ = (uint8_t)scale;
            *indexes++ = (uint16_t)((scale * PHASES + phase) * SHAPES +
                                    within((shape + half) >> FRACTION, 0, SHAPES - 1));
            h += head.cell, r += reference.cell, l += linear.cell, a += added.cell;
        }
    }
}

/* Take the pixels of one colour: `rows` and `columns` of those that there are.

   means, scales: with `across` cells a row. inverse: (48,). added: of all colours difference, error,
   normalised error. features: of the colour error and normalised error, each with its magnitude. */
void level_settle(const Colour *colour, const uint8_t *pixels, int64_t pixel_row, int64_t pixel_cell, int rows,
                  int columns, int across, const int16_t *means, const uint8_t *scales, const int32_t *inverse,
                  Grid reference, Grid added, Grid features) {
    const int channel = colour->channel;
    for (int i = 0; i < rows; i++) {
        const uint8_t *p = pixels + i * pixel_row;
        const int16_t *mean = means + (ptrdiff_t)i * across;
        const uint8_t *scale = scales + (ptrdiff_t)i * across;
        const int16_t *r = (const int16_t *)reference.data + i * reference.row + channel;
        int16_t *a = (int16_t *)added.data + i * added.row + channel;
        int16_t *f = (int16_t *)features.data + i * features.row;
        for (int j = 0; j < columns; j++) {
            const int32_t level = *p << FRACTION, error = level - mean[j];
            int32_t normalised = scaled(error, inverse[scale[j]], NORMALISED);
            normalised = within(normalised, -LARGEST_NORMALISED, LARGEST_NORMALISED);
            a[0] = (int16_t)(level - *r);
            a[3] = f[0] = (int16_t)error;
            f[1] = (int16_t)(error < 0 ? -error : error);
            a[6] = f[2] = (int16_t)normalised;
            f[3] = (int16_t)(normalised < 0 ? -normalised : normalised);
            p += pixel_cell, r += reference.cell, a += added.cell, f += features.cell;
        }
    }
}

/* Pixels from bins of `width` levels around rounded means; 0 if one is further than `beyond` from 0 to 255. */
int level_restore(const int32_t *bins, const int16_t *means, int rows, int columns, int across, int width,
                  int beyond, uint8_t *pixels, int64_t pixel_row, int64_t pixel_cell) {
    int is_sound = 1;
    for (int i = 0; i < rows; i++) {
        const int16_t *mean = means + (ptrdiff_t)i * across;
        uint8_t *p = pixels + i * pixel_row;
        for (int j = 0; j < columns; j++, p += pixel_cell) {
            const int32_t rounded = (mean[j] + (1 << (FRACTION - 1))) >> FRACTION;
            const int32_t v = rounded + *bins++ * width; /* 16 bits and 5 */
            is_sound &= v >= -beyond && v <= 255 + beyond;
            *p = (uint8_t)within(v, 0, 255);
        }
    }
    return is_sound;
}
