/* What JavaScript calls of the kernel: the counterpart of rdae/exact/kernel/module.c.

   Memory belongs to the caller: it lies behind __heap_base. */

#include "kernel.h"

#define EXPORT(name) __attribute__((export_name(name)))

/* The layouts that JavaScript writes. */
_Static_assert(sizeof(Op) == 56 && sizeof(Grid) == 24 && sizeof(Coder) == 40 && sizeof(Family) == 24, "layout");

typedef uint32_t __attribute__((aligned(1), may_alias)) Word;

/* Compiled without built-ins, or they would be made of themselves. */
void *memcpy(void *to, const void *from, size_t size) {
#if defined(__wasm_bulk_memory__)
    return __builtin_memcpy(to, from, size);
#else
    char *a = to;
    const char *b = from;
    for (; size >= 4; size -= 4, a += 4, b += 4) *(Word *)a = *(const Word *)b;
    while (size--) *a++ = *b++;
    return to;
#endif
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

static uint32_t crc_of[8][256]; /* of a byte that has 0 to 7 others behind it */

/* Take the best set of instructions there is in this build, and fill tables. */
EXPORT("begin") void begin(void) {
    int best = 0;
    while (kernel_name(best + 1)) best++;
    kernel_select(kernel_name(best));
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int behind = 0; behind < 8; crc_of[behind++][byte] = crc)
            for (int k = 0; k < 8; k++) crc = crc & 1 ? 0xedb88320 ^ crc >> 1 : crc >> 1;
    }
}

EXPORT("scratch_size") int scratch_size(int widest) { return (int)kernel_scratch_size(widest); }

EXPORT("pack") void pack(const int16_t *weights, int inputs, int outputs, int16_t *packed) {
    kernel_pack(weights, inputs, outputs, packed);
}

/* Sums of the magnitudes of weights (inputs, outputs), for each output. */
EXPORT("magnitudes")
void magnitudes(const int16_t *weights, int inputs, int outputs, double *sums) {
    for (int o = 0; o < outputs; o++) sums[o] = 0;
    for (int i = 0; i < inputs; i++, weights += outputs)
        for (int o = 0; o < outputs; o++) sums[o] += weights[o] < 0 ? -weights[o] : weights[o];
}

/* A table as coder_decode reads it; whether its frequencies are positive and sum to 2^24. */
EXPORT("table") int table(const int32_t *freqs, int size, uint32_t *cdf, uint32_t *first) {
    const int32_t total = 1 << 24;
    int32_t sum = 0;
    cdf[0] = 0;
    for (int k = 0; k < size; k++) {
        if (freqs[k] < 1 || freqs[k] > total - sum) return 0;
        cdf[k + 1] = (uint32_t)(sum += freqs[k]);
    }
    for (uint32_t top = 0, k = 0; top <= 256; top++) {
        while (k + 1 < (uint32_t)size && cdf[k + 1] <= top << 16) k++;
        first[top] = k;
    }
    return sum == total;
}

EXPORT("stage")
void stage(const Op *ops, int count, const Grid *grids, int top, int bottom, int left, int right,
           int16_t *scratch) {
    kernel_stage(ops, count, grids, top, bottom, left, right, scratch);
}

EXPORT("coder_begin") void begin_stream(Coder *coder, const uint32_t *words, int count) {
    coder_begin(coder, words, count);
}

/* As of coder_group; whether there are such tables and the stream is sound. */
EXPORT("group")
int group(Coder *coder, const Family *family, const uint16_t *indexes, const int16_t *limits, int count,
          int64_t *counts, int32_t *next, int32_t *order, int32_t *symbols) {
    return coder_group(coder, family, indexes, limits, count, counts, next, order, symbols) == 1;
}

/* Whether all words were read, and the state is one that an encoder ends in. */
EXPORT("coder_ends") int ends(const Coder *coder) {
    return coder->position >= coder->count && coder->ahead < ((uint64_t)1 << 33) - 1;
}

/* Tables as `group` takes them. */
EXPORT("indexes")
void indexes(const int16_t *heads, int row, int cell, int rows, int columns, int group, const int16_t *offset,
             int bits, uint16_t *out) {
    uint8_t *narrow = (uint8_t *)out;
    quarter_indexes((Grid){(void *)heads, row, cell}, rows, columns, group, offset, bits, narrow);
    for (int i = rows * columns * group; i--;) out[i] = narrow[i];
}

EXPORT("dequantise")
void dequantise(const int16_t *means, int row, int cell, int rows, int columns, int group,
                const int32_t *symbols, const int32_t *step, int shift, int mean_bits, int16_t *y_hat) {
    quarter_dequantise((Grid){(void *)means, row, cell}, rows, columns, group, symbols, step, shift, mean_bits,
                       y_hat);
}

/* Put what a pass codes where its channels stand: `size` bytes of each cell, in a cell of so many bytes the
   group with the number of the cell's phase. */
EXPORT("place")
void place(const char *quarter, char *all, int rows, int columns, int size, int cell, int a, int b, int c, int d) {
    const int groups[] = {a, b, c, d};
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++, quarter += size, all += cell)
            memcpy(all + groups[2 * (i & 1) + (j & 1)] * size, quarter, (size_t)size);
}

/* The CRC-32 of what has the given one and of more bytes behind it. */
EXPORT("crc32") uint32_t crc32(uint32_t crc, const uint8_t *bytes, int count) {
    crc = ~crc;
    for (; count >= 8; count -= 8, bytes += 8) {
        const uint32_t a = crc ^ ((const Word *)bytes)[0], b = ((const Word *)bytes)[1];
        crc = crc_of[7][a & 255] ^ crc_of[6][a >> 8 & 255] ^ crc_of[5][a >> 16 & 255] ^ crc_of[4][a >> 24] ^
              crc_of[3][b & 255] ^ crc_of[2][b >> 8 & 255] ^ crc_of[1][b >> 16 & 255] ^ crc_of[0][b >> 24];
    }
    while (count--) crc = crc_of[0][(crc ^ *bytes++) & 255] ^ crc >> 8;
    return ~crc;
}

/* Pixels (rows, columns) of RGB, `stride` bytes a row, to RGBA without gaps; grey: three equal channels of
   their mean. */
EXPORT("to_rgba")
void to_rgba(const uint8_t *rgb, int stride, int rows, int columns, int grey, uint8_t *rgba) {
    for (int i = 0; i < rows; i++) {
        const uint8_t *from = rgb + (ptrdiff_t)i * stride;
        for (int j = 0; j < columns; j++, from += 3, rgba += 4) {
            uint8_t r = from[0], g = from[1], b = from[2];
            if (grey) r = g = b = (uint8_t)((r + g + b + 1) / 3);
            rgba[0] = r, rgba[1] = g, rgba[2] = b, rgba[3] = 255;
        }
    }
}
