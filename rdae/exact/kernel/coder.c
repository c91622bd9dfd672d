/* The range coder of FORMAT.md, sections 6.2 and 6.5, and what lies between a pass and its symbols. */

#include "kernel.h"

static uint32_t next_word(Coder *coder) {
    int64_t at = coder->position++;
    return at < coder->count ? coder->words[at] : 0;
}

void coder_begin(Coder *coder, const uint32_t *words, int64_t count) {
    coder->words = words, coder->count = count, coder->position = 0;
    coder->range = UINT64_MAX;
    coder->ahead = (uint64_t)next_word(coder) << 32;
    coder->ahead |= next_word(coder);
}

/* The part from `begin` to `end`, of 2^24, of the interval. */
static inline void narrow(Coder *s, uint64_t scale, uint32_t begin, uint32_t end) {
    s->ahead -= scale * begin;
    s->range = scale * (end - begin);
    if (s->range < (uint64_t)1 << 32) {
        s->range <<= 32;
        s->ahead = s->ahead << 32 | next_word(s);
    }
}

static inline int32_t within(int32_t v, int32_t least, int32_t most) {
    return v < least ? least : v > most ? most : v;
}

/* The nearest entry that limits leave a symbol of a table, of which there is at least one, and its part:
   the first one also has those of all entries before, the last one of all behind but the escape. */
static inline int32_t limited(const uint32_t *cdf, int32_t k, int32_t low, int32_t escape, const int16_t *limits,
                              uint32_t *begin, uint32_t *end) {
    const int32_t first = within(limits[0] - low, 0, escape - 1);
    const int32_t last = within(limits[1] - low, first, escape - 1);
    k = within(k, first, last);
    *begin = k == first ? 0 : cdf[k];
    *end = cdf[k == last ? escape : k + 1];
    return k;
}

/* The next entry of a table, or -1 if the stream is damaged.

   first: where to search, as of a Family. limits: the least and the greatest value of the symbol, or NULL;
   low: that of the table's first entry. */
static inline int32_t next_entry(Coder *s, const uint32_t *cdf, const uint32_t *first, int32_t last, int32_t low,
                                 const int16_t *limits) {
    uint64_t scale = s->range >> 24, quantile = s->ahead / scale;
    if (quantile >> 24) return -1;
    int32_t k = (int32_t)first[quantile >> (24 - START_BITS)];
    while (k < last && cdf[k + 1] <= quantile) k++;
    uint32_t begin = cdf[k], end = cdf[k + 1];
    if (limits && k < last) k = limited(cdf, k, low, last, limits, &begin, &end);
    narrow(s, scale, begin, end);
    return k;
}

/* Entries of a stream that was cut off, so many of each table, the last table's first; how many are
   certain: need no word behind its end. */
int64_t coder_decode(Coder *coder, const Family *family, const int64_t *counts, int32_t *entries) {
    int32_t *next = entries;
    for (int t = family->tables - 1; t >= 0; t--) {
        const uint32_t *cdf = family->cdf + family->starts[t];
        const uint32_t *first = family->first + (size_t)t * STARTS;
        for (int64_t i = 0; i < counts[t]; i++) {
            int is_over = coder->position > coder->count;
            int32_t entry = is_over ? -1 : next_entry(coder, cdf, first, family->sizes[t] - 1, 0, NULL);
            if (entry < 0) return next - entries;
            *next++ = entry;
        }
    }
    return next - entries;
}

/* The symbols of those that were escaped, two bytes each; as of coder_group. */
static int read_escapes(Coder *coder, const Family *family, const uint16_t *indexes, const int32_t *places,
                        int64_t count, int32_t *symbols) {
    for (int low = 0; low < 2; low++)
        for (int64_t i = 0; i < count; i++) {
            uint64_t scale = coder->range >> 24, byte = coder->ahead / scale >> 16;
            int32_t *symbol = symbols + places[i];
            if (byte >> 8) return -1;
            narrow(coder, scale, (uint32_t)byte << 16, (uint32_t)(byte + 1) << 16);
            *symbol = low ? *symbol + (int32_t)byte : (int32_t)(byte << 8) - 32768;
        }
    for (int64_t i = 0; i < count; i++) {
        int table = indexes[places[i]], entry = symbols[places[i]] - family->lows[table];
        if (entry >= 0 && entry < family->sizes[table] - 1) return -2; /* it has a place in the table */
    }
    return 1;
}

/* The order of symbols in a stream: by table, the last first, else as they are; and how many each table
   has. 0 if there is no such table.

   Some parts of the symbols are counted side by side, since to read a count that was just written takes long.

   counts: (tables,). next: room for (PARTS, tables). order: (count,). */
int group_by_table(const uint16_t *indexes, int64_t count, int tables, int64_t *counts, int32_t *next,
                   int32_t *order) {
    const int64_t part = (count + PARTS - 1) / PARTS;
    int32_t at = 0, largest = -1;
    for (int64_t i = 0; i < count; i++) largest = indexes[i] > largest ? indexes[i] : largest;
    if (largest >= tables) return 0;
    for (int64_t i = 0; i < PARTS * (int64_t)tables; i++) next[i] = 0;
    for (int64_t i = 0; i < part; i++)
        for (int64_t p = 0, k = i; p < PARTS && k < count; p++, k += part) next[p * tables + indexes[k]]++;
    for (int t = tables - 1; t >= 0; t--) {
        counts[t] = -at;
        for (int p = 0; p < PARTS; p++) { /* where the next of each table and part goes */
            int32_t many = next[p * tables + t];
            next[p * tables + t] = at, at += many;
        }
        counts[t] += at;
    }
    for (int64_t i = 0; i < part; i++)
        for (int64_t p = 0, k = i; p < PARTS && k < count; p++, k += part)
            order[next[p * tables + indexes[k]]++] = (int32_t)k;
    return 1;
}

/* Symbols of a group, each of the table that `indexes` names: in the stream they stand by table, the last
   first, else as they are. 0 if there is no such table, -1 if the stream is damaged, -2 if it escapes a
   symbol of a table, else 1.

   limits: (count, 2) the least and the greatest value of each symbol, or NULL. counts: room for (tables,).
   next: for (PARTS, tables). order: for (count,). */
int coder_group(Coder *coder, const Family *family, const uint16_t *indexes, const int16_t *limits, int64_t count,
                int64_t *counts, int32_t *next, int32_t *order, int32_t *symbols) {
    Coder s = *coder;
    int32_t *place = order, *escaped = order;
    if (!group_by_table(indexes, count, family->tables, counts, next, order)) return 0;
    for (int t = family->tables - 1; t >= 0; t--) {
        if (!counts[t]) continue;
        const uint32_t *cdf = family->cdf + family->starts[t];
        const uint32_t *first = family->first + (size_t)t * STARTS;
        const int32_t low = family->lows[t], last = family->sizes[t] - 1;
        /* An entry with more than a half of the table is looked for first, since that takes no division. */
        int32_t likely = (int32_t)first[STARTS / 2];
        while (cdf[likely + 1] <= 1 << 23) likely++;
        const uint32_t begin = cdf[likely], end = cdf[likely + 1];
        const int is_likely = !limits && end - begin > 1 << 23 && likely < last;
        for (const int32_t *stop = place + counts[t]; place < stop; place++) {
            const uint64_t scale = s.range >> 24;
            if (is_likely && s.ahead - scale * begin < scale * (end - begin)) {
                narrow(&s, scale, begin, end);
                symbols[*place] = likely + low;
            } else {
                const int16_t *own = limits ? limits + 2 * (ptrdiff_t)*place : NULL;
                int32_t entry = next_entry(&s, cdf, first, last, low, own);
                if (entry < 0) return -1;
                symbols[*place] = entry + low;
                if (entry == last) *escaped++ = *place; /* over those that were read */
            }
        }
    }
    int outcome = read_escapes(&s, family, indexes, order, escaped - order, symbols);
    *coder = s;
    return outcome;
}

void writer_begin(Writer *writer) { writer->lower = 0, writer->range = UINT64_MAX, writer->count = 0; }

/* One more in the last digit of what is written. */
static void carry(Writer *s) {
    int64_t at = s->count;
    while (at > 0 && ++s->words[--at] == 0) {
    }
}

/* Code the entries of some runs, so many of one table each; 0, or -1 if an entry has no place in its
   table or between its limits. There is room for as many more words as there are entries.

   which: the table of each run. limits: of each entry the least and the greatest value, or NULL. */
int writer_encode(Writer *writer, const Family *family, int runs, const int32_t *which, const int64_t *counts,
                  const int32_t *entries, const int16_t *limits) {
    Writer s = *writer;
    for (int run = 0; run < runs; run++) {
        const uint32_t *f = family->cdf + family->starts[which[run]];
        const int32_t size = family->sizes[which[run]], low = family->lows[which[run]];
        for (int64_t i = 0; i < counts[run]; i++) {
            const int32_t k = *entries++;
            if (k < 0 || k >= size) return -1;
            uint32_t begin = f[k], end = f[k + 1];
            if (limits) {
                if (k < size - 1 && limited(f, k, low, size - 1, limits, &begin, &end) != k) return -1;
                limits += 2;
            }
            uint64_t scale = s.range >> 24, added = scale * begin;
            s.lower += added;
            if (s.lower < added) carry(&s);
            s.range = scale * (end - begin);
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
