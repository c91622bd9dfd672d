/* The layers of one instruction set, ISA, on a row of cells; included by stage.h. */

#if THIS == IS_plain

/* The same in plain C: what the vectors are compared with, and the code of unknown machines. */
static void linear_plain(const int16_t *x, ptrdiff_t x_cell, int cells, int inputs, const int16_t *w,
                         const int32_t *bias, int outputs, int shift, int leak, int16_t *out,
                         ptrdiff_t out_cell, const int16_t *add, ptrdiff_t add_cell) {
    const int32_t more = leak_half(shift, leak);
    for (int c = 0; c < cells; c++)
        for (int first = 0; first < outputs; first += PANEL) {
            const int16_t *pairs = w + (ptrdiff_t)first * inputs;
            int32_t acc[PANEL];
            memcpy(acc, bias + first, sizeof acc);
            for (int i = 0; i < inputs; i += 2, pairs += 2 * PANEL) {
                const int32_t one = x[c * x_cell + i], two = x[c * x_cell + i + 1];
                for (int o = 0; o < PANEL; o++) acc[o] += one * pairs[2 * o] + two * pairs[2 * o + 1];
            }
            for (int o = 0; o < PANEL; o++) {
                int32_t v = acc[o] >> shift, low = (acc[o] + more) >> (shift + leak);
                v = saturated(leak && low > v ? low : v);
                if (add) v = saturated(v + add[c * add_cell + first + o]);
                out[c * out_cell + first + o] = (int16_t)v;
            }
        }
}

static void depthwise_plain(const int size, const int16_t *x, ptrdiff_t x_row, ptrdiff_t x_cell,
                            int cells, int channels, const int16_t *w, const int32_t *bias, int shift,
                            int16_t *out, ptrdiff_t out_cell) {
    const int radius = size / 2;
    for (int c = 0; c < cells; c++)
        for (int k = 0; k < channels; k++) {
            int32_t acc = bias[k];
            for (int i = 0; i < size; i++)
                for (int j = 0; j < size; j++)
                    acc += x[(i - radius) * x_row + (c + j - radius) * x_cell + k] *
                           w[(i * size + j) * channels + k];
            out[c * out_cell + k] = saturated(acc >> shift);
        }
}

#else

/* What two inputs of each cell add to the sums of a tile. */
INLINE TARGET void NAME(step)(const int M, const int P, V (*acc)[4], const int16_t *x, const int16_t *x3,
                              ptrdiff_t x_cell, const int16_t *w, ptrdiff_t panel) {
    V weight[4];
    UNROLL
    for (int v = 0; v < P * NV; v++) weight[v] = LOAD(w + (v / NV) * panel + (v % NV) * (2 * PANEL / NV));
    UNROLL
    for (int m = 0; m < M; m++) {
        V value = SPREAD(m < 3 ? x + m * x_cell : x3 + (m - 3) * x_cell);
        UNROLL
        for (int v = 0; v < P * NV; v++) acc[m][v] = DOT(acc[m][v], weight[v], value);
    }
}

/* A tile: so many cells times so many panels, all sums in registers. */
INLINE TARGET void NAME(tile)(const int M, const int P, const int16_t *x, ptrdiff_t x_cell, int inputs,
                              const int16_t *w, ptrdiff_t panel, const int32_t *bias, int shift,
                              int leak, int16_t *out, ptrdiff_t out_cell, const int16_t *add,
                              ptrdiff_t add_cell) {
    V acc[12][4]; /* of constant size, or they would not stay in registers */
    UNROLL
    for (int v = 0; v < P * NV; v++) {
        V b = LOAD((const int16_t *)(bias + v * (PANEL / NV)));
        UNROLL
        for (int m = 0; m < M; m++) acc[m][v] = b;
    }
#if THIS == IS_wasm
    /* Two steps a turn; the way out between them keeps compilers from mixing both, whose sums would not
       stay in registers. */
    for (const int16_t *end = w + (ptrdiff_t)inputs * PANEL; w != end; w += 4 * PANEL, x += 4) {
        NAME(step)(M, P, acc, x, x + 3 * x_cell, x_cell, w, panel);
        if (w + 2 * PANEL == end) break;
        NAME(step)(M, P, acc, x + 2, x + 2 + 3 * x_cell, x_cell, w + 2 * PANEL, panel);
    }
#else
    const int16_t *x3 = x + 3 * x_cell;
    for (const int16_t *end = x + inputs; x != end; x += 2, x3 += 2, w += 2 * PANEL)
        NAME(step)(M, P, acc, x, x3, x_cell, w, panel);
#endif
    V more = SPREAD32(leak_half(shift, leak));
    UNROLL
    for (int m = 0; m < M; m++) {
        UNROLL
        for (int v = 0; v < P * NV; v++) {
            V a = acc[m][v], high = SHR(a, shift);
            acc[m][v] = leak ? MAX32(high, SHR(ADD32(a, more), shift + leak)) : high;
        }
        int16_t *to = out + m * out_cell;
        const int16_t *plus = add ? add + m * add_cell : NULL;
#if NV == 1
        UNROLL
        for (int v = 0; v < P; v++) {
            __m256i r = _mm512_cvtsepi32_epi16(acc[m][v]);
            if (plus) r = _mm256_adds_epi16(r, _mm256_loadu_si256((const __m256i *)(plus + v * PANEL)));
            _mm256_storeu_si256((__m256i *)(to + v * PANEL), r);
        }
#elif NV == 2
        UNROLL
        for (int v = 0; v < P; v++) {
            V r = _mm256_permute4x64_epi64(NARROW(acc[m][2 * v], acc[m][2 * v + 1]), 0xD8);
            if (plus) r = ADDS16(r, LOAD(plus + v * PANEL));
            STORE(to + v * PANEL, r);
        }
#else
        UNROLL
        for (int v = 0; v < P * 2; v++) {
            V r = NARROW(acc[m][2 * v], acc[m][2 * v + 1]);
            if (plus) r = ADDS16(r, LOAD(plus + v * PANEL / 2));
            STORE(to + v * PANEL / 2, r);
        }
#endif
    }
}

#define ARGUMENTS \
    x, x_cell, inputs, w, panel, bias, shift, leak, out, out_cell, add, add_cell

/* All cells, for so many panels at once; the last tile may have fewer cells. */
INLINE TARGET void NAME(strip)(const int P, const int16_t *x, ptrdiff_t x_cell, int cells, int inputs,
                               const int16_t *w, ptrdiff_t panel, const int32_t *bias, int shift,
                               int leak, int16_t *out, ptrdiff_t out_cell, const int16_t *add,
                               ptrdiff_t add_cell) {
    const int M = CELLS(P);
    for (; cells >= M; cells -= M) {
        NAME(tile)(M, P, ARGUMENTS);
        x += M * x_cell, out += M * out_cell, add = add ? add + M * add_cell : NULL;
    }
    for (; cells >= 2 && M > 2; cells -= 2) {
        NAME(tile)(2, P, ARGUMENTS);
        x += 2 * x_cell, out += 2 * out_cell, add = add ? add + 2 * add_cell : NULL;
    }
    for (; cells; cells--) {
        NAME(tile)(1, P, ARGUMENTS);
        x += x_cell, out += out_cell, add = add ? add + add_cell : NULL;
    }
}

/* `outputs` is a multiple of 16, `inputs` of 2. */
static TARGET void NAME(linear)(const int16_t *x, ptrdiff_t x_cell, int cells, int inputs,
                                const int16_t *w, const int32_t *bias, int outputs, int shift, int leak,
                                int16_t *out, ptrdiff_t out_cell, const int16_t *add,
                                ptrdiff_t add_cell) {
    const ptrdiff_t panel = (ptrdiff_t)inputs * PANEL;
    for (int panels = outputs / PANEL; panels;) {
        int now;
#if MOST_PANELS >= 4
        if (panels % 4 == 0 || panels > 4) {
            now = 4;
            NAME(strip)(4, x, x_cell, cells, inputs, w, panel, bias, shift, leak, out, out_cell, add, add_cell);
        } else if (panels == 3) {
            now = 3;
            NAME(strip)(3, x, x_cell, cells, inputs, w, panel, bias, shift, leak, out, out_cell, add, add_cell);
        } else if (panels == 2) {
            now = 2;
            NAME(strip)(2, x, x_cell, cells, inputs, w, panel, bias, shift, leak, out, out_cell, add, add_cell);
        } else
#endif
        {
            now = 1;
            NAME(strip)(1, x, x_cell, cells, inputs, w, panel, bias, shift, leak, out, out_cell, add, add_cell);
        }
        panels -= now, w += now * panel, bias += now * PANEL, out += now * PANEL;
        if (add) add += now * PANEL;
    }
}

/* A row of cells for as many channels as a vector has. Pairs of taps are zipped, so that a lane holds
   both; the last tap goes with itself and the weight 0. */
INLINE TARGET void NAME(filter)(const int size, const int16_t *x, ptrdiff_t x_row, ptrdiff_t x_cell,
                                int cells, int channels, const int16_t *w, const int32_t *bias,
                                int shift, int16_t *out, ptrdiff_t out_cell) {
    const int taps = size * size, pairs = (taps + 1) / 2, radius = size / 2;
    V low[13], high[13], bias_low, bias_high;
    for (int i = 0; i < pairs; i++) {
        V one = LOAD(w + 2 * i * channels);
        V two = 2 * i + 1 < taps ? LOAD(w + (2 * i + 1) * channels) : ZERO;
        low[i] = ZIPLO(one, two), high[i] = ZIPHI(one, two);
    }
    { /* the bias in the order of ZIPLO and ZIPHI, which work in parts of 8 channels */
        int32_t order[2][PANEL / NV];
        for (int j = 0; j < PANEL / NV; j++) {
            int place = (j / 4) * 8 + j % 4;
            order[0][j] = bias[place], order[1][j] = bias[place + 4];
        }
        bias_low = LOAD((const int16_t *)order[0]), bias_high = LOAD((const int16_t *)order[1]);
    }
    for (int c = 0; c < cells; c++) {
        V l = bias_low, h = bias_high;
        const int16_t *at = x + (c - radius) * x_cell - radius * x_row;
        UNROLL
        for (int i = 0; i < pairs; i++) {
            int a = 2 * i, b = 2 * i + 1 < taps ? 2 * i + 1 : 2 * i;
            V one = LOAD(at + (a / size) * x_row + (a % size) * x_cell);
            V two = LOAD(at + (b / size) * x_row + (b % size) * x_cell);
            l = DOT(l, low[i], ZIPLO(one, two));
            h = DOT(h, high[i], ZIPHI(one, two));
        }
        STORE(out + c * out_cell, NARROW(SHR(l, shift), SHR(h, shift)));
    }
}

static TARGET void NAME(depthwise)(int size, const int16_t *x, ptrdiff_t x_row, ptrdiff_t x_cell,
                                   int cells, int channels, const int16_t *w, const int32_t *bias,
                                   int shift, int16_t *out, ptrdiff_t out_cell) {
    const int lanes = 2 * PANEL / NV;
    if (channels < lanes) {
        depthwise_plain(size, x, x_row, x_cell, cells, channels, w, bias, shift, out, out_cell);
        return;
    }
    for (int first = 0; first < channels; first += lanes) {
        /* the last ones together with some of those before them */
        int k = first + lanes <= channels ? first : channels - lanes;
        if (size == 3)
            NAME(filter)(3, x + k, x_row, x_cell, cells, channels, w + k, bias + k, shift, out + k, out_cell);
        else
            NAME(filter)(5, x + k, x_row, x_cell, cells, channels, w + k, bias + k, shift, out + k, out_cell);
    }
}

#endif /* not plain */

INLINE TARGET void NAME(gain)(const int16_t *x, ptrdiff_t x_cell, int cells, int channels,
                              const int16_t *factors, int shift, int16_t *out, ptrdiff_t out_cell,
                              const int16_t *add, ptrdiff_t add_cell) {
    const int32_t half = 1 << (shift - 1);
    for (int c = 0; c < cells; c++) {
        const int16_t *restrict from = x + c * x_cell, *restrict plus = add ? add + c * add_cell : NULL;
        int16_t *restrict to = out + c * out_cell; /* a buffer of its own: compilers take vectors */
        for (int k = 0; k < channels; k++) to[k] = saturated((from[k] * factors[k] + half) >> shift);
        if (plus)
            for (int k = 0; k < channels; k++) to[k] = saturated(to[k] + plus[k]);
    }
}

INLINE TARGET void NAME(add)(Slot one, Slot two, int cells, int channels, Slot out) {
    for (int c = 0; c < cells; c++) {
        const int16_t *restrict a = one.data + c * one.cell, *restrict b = two.data + c * two.cell;
        int16_t *restrict to = out.data + c * out.cell;
        for (int k = 0; k < channels; k++) to[k] = saturated(a[k] + b[k]);
    }
}
