/* The range coder of FORMAT.md, sections 6.2 and 6.5, and what lies between a pass and its symbols. */

#include "kernel.h"

#define START_BITS 8 /* of a quantile, that say where its search in a table begins */

static uint32_t next_word(Coder *coder) {
    int64_t at = coder->position++;
    return at < coder->count ? coder->words[at] : 0;
}

void coder_begin(Coder *coder, const uint32_t *words, int64_t count) {
    coder->words = words, coder->count = count, coder->position = 0;
    coder->lower = 0, coder->range = UINT64_MAX;
    coder->point = (uint64_t)next_word(coder) << 32;
    coder->point |= next_word(coder);
}

/* Entries of one group, the last table's first; how many, or -1 if the stream is damaged. Of a stream
   that was cut off, only those that are certain: that need no word behind its end.

   cdf: all tables one behind the other, each from 0 to 2^24. starts: where each begins in cdf.
   first: (tables, 257) the entry at which the search begins, for the quantile's top 8 bits.
   counts: how many entries of each table follow. */
int64_t coder_decode(Coder *coder, const uint32_t *cdf, const int64_t *starts, const int32_t *sizes,
                     const uint32_t *first, int tables, const int64_t *counts, int is_cut,
                     int32_t *entries) {
    Coder s = *coder;
    int32_t *next = entries;
    for (int t = tables - 1; t >= 0; t--) {
        const uint32_t *f = cdf + starts[t];
        const uint32_t *from = first + (size_t)t * ((1 << START_BITS) + 1);
        int32_t last = sizes[t] - 1;
        for (int64_t i = 0; i < counts[t]; i++) {
            uint64_t scale = s.range >> 24, quantile = (s.point - s.lower) / scale;
            int is_over = is_cut && s.position > s.count;
            if (is_over || quantile >> 24) {
                if (!is_cut) return -1;
                *coder = s;
                return next - entries;
            }
            int32_t k = (int32_t)from[quantile >> (24 - START_BITS)];
            while (k < last && f[k + 1] <= quantile) k++;
            s.lower += scale * f[k];
            s.range = scale * (f[k + 1] - f[k]);
            if (s.range < (uint64_t)1 << 32) {
                s.lower <<= 32, s.range <<= 32;
                s.point = s.point << 32 | next_word(&s);
            }
            *next++ = k;
        }
    }
    *coder = s;
    return next - entries;
}

void writer_begin(Writer *writer) { writer->lower = 0, writer->range = UINT64_MAX, writer->count = 0; }

/* One more in the last digit of what is written. */
static void carry(Writer *s) {
    int64_t at = s->count;
    while (at > 0 && ++s->words[--at] == 0) {
    }
}

/* Code the entries of some runs, so many of one table each; 0, or -1 if an entry has no place in its
   table. There is room for as many more words as there are entries.

   cdf, starts, sizes: as of coder_decode. which: the table of each run. */
int writer_encode(Writer *writer, const uint32_t *cdf, const int64_t *starts, const int32_t *sizes,
                  int runs, const int32_t *which, const int64_t *counts, const int32_t *entries) {
    Writer s = *writer;
    for (int run = 0; run < runs; run++) {
        const uint32_t *f = cdf + starts[which[run]];
        const int32_t size = sizes[which[run]];
        for (int64_t i = 0; i < counts[run]; i++) {
            const int32_t k = *entries++;
            if (k < 0 || k >= size) return -1;
            uint64_t scale = s.range >> 24, added = scale * f[k];
            s.lower += added;
            if (s.lower < added) carry(&s);
            s.range = scale * (f[k + 1] - f[k]);
            if (s.range < (uint64_t)1 << 32) {
                s.words[s.count++] = (uint32_t)(s.lower >> 32);
                s.lower <<= 32, s.range <<= 32;
            }
        }
    }
    *writer = s;
    return 0;
}

/* Write the last word: the smallest number of so many words that is not below `lower`. There is room
   for it. Zero words at the end are not removed. */
void writer_end(Writer *writer) {
    uint32_t last = (uint32_t)(writer->lower >> 32);
    if (writer->lower << 32 && ++last == 0) carry(writer);
    writer->words[writer->count++] = last;
}

/* Tables of a quarter (rows, columns, group): clip((head + offset + half) >> bits, 0, 127).

   offset: (4 phases, group). */
void quarter_indexes(Grid heads, int rows, int columns, int group, const int16_t *offset, int bits,
                     uint8_t *indexes) {
    const int32_t half = 1 << (bits - 1);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const int16_t *head = (const int16_t *)heads.data + i * heads.row + j * heads.cell;
            const int16_t *own = offset + (2 * (i & 1) + (j & 1)) * group;
            for (int k = 0; k < group; k++) {
                int32_t v = (head[k] + own[k] + half) >> bits;
                *indexes++ = (uint8_t)(v < 0 ? 0 : v > 127 ? 127 : v);
            }
        }
}

/* y_hat of a quarter: sat((mean + half) >> mean_bits + (symbol * step + half) >> shift).

   symbols: (rows, columns, group). step: (4 phases, group). */
void quarter_dequantise(Grid means, int rows, int columns, int group, const int32_t *symbols,
                        const int32_t *step, int shift, int mean_bits, int16_t *y_hat) {
    const int64_t half = (int64_t)1 << (shift - 1);
    const int32_t mean_half = 1 << (mean_bits - 1);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const int16_t *mean = (const int16_t *)means.data + i * means.row + j * means.cell;
            const int32_t *own = step + (2 * (i & 1) + (j & 1)) * group;
            for (int k = 0; k < group; k++) {
                int64_t v = ((int64_t)*symbols++ * own[k] + half) >> shift;
                v += (mean[k] + mean_half) >> mean_bits;
                *y_hat++ = (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
            }
        }
}

/* Symbols of a quarter: (y - mean * unit) * gain, rounded to the nearest integer, halves to even, and
   one nearer to 0 where the magnitude is short of it by its zone: below symbol - 1/2 + zone. The
   operations of float32, one by one, are those of `rdae.rounding`.

   unit, gain: (4 phases, group). indexes: (rows, columns, group) of tables, or NULL for no zones.
   zones: (tables, reach + 1) by magnitude, the last for all larger ones. */
void quarter_quantise(Grid y, Grid means, int rows, int columns, int group, const float *unit,
                      const float *gain, const uint8_t *indexes, const float *zones, int reach,
                      int32_t *symbols) {
    const float whole = 8388608.0f; /* from here on, floats are integers */
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const int phase = 2 * (i & 1) + (j & 1);
            const float *from = (const float *)y.data + i * y.row + j * y.cell;
            const int16_t *mean = (const int16_t *)means.data + i * means.row + j * means.cell;
            const float *own_unit = unit + phase * group, *own_gain = gain + phase * group;
            for (int k = 0; k < group; k++) {
                float v = (from[k] - mean[k] * own_unit[k]) * own_gain[k];
                float size = v < 0 ? -v : v;
                float symbol = size < whole ? size + whole - whole : size;
                if (indexes) {
                    int at = symbol < reach ? (int)symbol : reach;
                    symbol -= size < symbol - 0.5f + zones[*indexes++ * (reach + 1) + at];
                }
                int32_t rounded = symbol < 32767 ? (int32_t)symbol : 32767;
                *symbols++ = v < 0 ? -rounded : rounded;
            }
        }
}

/* The stable order of keys: where the smallest stand, then the next. */
void sorted_order(const uint8_t *keys, int64_t count, int64_t *order) {
    int64_t next[256] = {0}, sum = 0;
    for (int64_t i = 0; i < count; i++) next[keys[i]]++;
    for (int k = 0; k < 256; k++) {
        int64_t many = next[k];
        next[k] = sum, sum += many;
    }
    for (int64_t i = 0; i < count; i++) order[next[keys[i]]++] = i;
}

/* The order of symbols in a stream: by table, the last first, else as they are; and how many each table
   has. 0 if there is no such table.

   counts: (tables,). order: (count,). */
int group_by_table(const uint16_t *indexes, int64_t count, int tables, int64_t *counts, int64_t *order) {
    int64_t at = 0;
    for (int t = 0; t < tables; t++) counts[t] = 0;
    for (int64_t i = 0; i < count; i++) {
        if (indexes[i] >= tables) return 0;
        counts[indexes[i]]++;
    }
    for (int t = tables - 1; t >= 0; t--) { /* where the next of each table goes */
        int64_t many = counts[t];
        counts[t] = at, at += many;
    }
    for (int64_t i = 0; i < count; i++) order[counts[indexes[i]]++] = i;
    for (int t = 0; t < tables - 1; t++) counts[t] -= counts[t + 1];
    return 1;
}

/* Symbols of entries that stand in the order of the stream; how many of those are escapes, which say
   nothing yet, or -1 if the order leads beyond them. */
int64_t place_symbols(const int32_t *entries, const int64_t *order, const int64_t *counts, int tables,
                      const int32_t *lows, const int32_t *sizes, int32_t *symbols) {
    int64_t escapes = 0, all = 0;
    for (int t = 0; t < tables; t++) all += counts[t];
    for (int t = tables - 1; t >= 0; t--)
        for (const int32_t *end = entries + counts[t]; entries < end; entries++) {
            if (*order < 0 || *order >= all) return -1;
            escapes += *entries == sizes[t] - 1;
            symbols[*order++] = *entries + lows[t];
        }
    return escapes;
}
