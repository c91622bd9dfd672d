/* What JavaScript calls of the kernel: the counterpart of rdae/exact/kernel/module.c.

   Memory belongs to the caller: it lies behind __heap_base. */

#include "kernel.h"

#define EXPORT(name) __attribute__((export_name(name)))

/* The layouts that kernel.js writes. */
_Static_assert(sizeof(Op) == 56 && sizeof(Grid) == 24 && sizeof(Coder) == 48, "layout");

/* Compiled without built-ins, or they would be made of themselves. */
void *memcpy(void *to, const void *from, size_t size) {
#if defined(__wasm_bulk_memory__)
    return __builtin_memcpy(to, from, size);
#else
    char *a = to;
    const char *b = from;
    for (; size >= 4; size -= 4, a += 4, b += 4) {
        typedef uint32_t __attribute__((aligned(1), may_alias)) Word;
        *(Word *)a = *(const Word *)b;
    }
    while (size--) *a++ = *b++;
    return to;
#endif
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

/* Take the best set of instructions there is in this build. */
EXPORT("begin") void begin(void) {
    int best = 0;
    while (kernel_name(best + 1)) best++;
    kernel_select(kernel_name(best));
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

/* Entries of one table; whether the stream is sound. */
EXPORT("coder_decode")
int decode(Coder *coder, const uint32_t *cdf, int size, const uint32_t *first, int count, int32_t *entries) {
    const int64_t start = 0, wanted = count;
    return coder_decode(coder, cdf, &start, &size, first, 1, &wanted, 0, entries) == count;
}

/* Whether all words were read, and the state is one that an encoder ends in. */
EXPORT("coder_ends") int ends(const Coder *coder) {
    return coder->position >= coder->count && coder->point - coder->lower < ((uint64_t)1 << 33) - 1;
}

EXPORT("indexes")
void indexes(const int16_t *heads, int row, int cell, int rows, int columns, int group, const int16_t *offset,
             int bits, uint8_t *out) {
    quarter_indexes((Grid){(void *)heads, row, cell}, rows, columns, group, offset, bits, out);
}

EXPORT("dequantise")
void dequantise(const int16_t *means, int row, int cell, int rows, int columns, int group,
                const int32_t *symbols, const int32_t *step, int shift, int mean_bits, int16_t *y_hat) {
    quarter_dequantise((Grid){(void *)means, row, cell}, rows, columns, group, symbols, step, shift, mean_bits,
                       y_hat);
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
