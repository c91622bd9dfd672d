/* A linear layer of few outputs on runs of values around each cell; included by stage.h.

   Vectors hold values of a run, not outputs, and nothing is gathered: weights stand behind zeros where
   a vector goes beyond its run. The mean is taken away from the sums, w (x - mean) = w x - w mean.
   What leaves 32 bits on the way comes back, since the last sum is proved to be within them. */

#if THIS == IS_plain
#define LANES 1
#else
#define LANES (2 * PANEL / NV) /* values of a vector */
#endif

/* `M` cells and `N` outputs at a time, all sums in registers. */
INLINE TARGET void NAME(weighed)(const int M, const int N, const Op *op, const Grid *grids, int row,
                                 int column, const int16_t *w, ptrdiff_t next, uint32_t sums[4][4]) {
    const Run *runs = (const Run *)(const void *)op->bias;
#if THIS == IS_plain
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) sums[m][n] = 0;
#else
    V acc[4][4];
    UNROLL
    for (int m = 0; m < M; m++) {
        UNROLL
        for (int n = 0; n < N; n++) acc[m][n] = ZERO;
    }
#endif
    for (const Run *run = runs; run < runs + op->part; run++) {
        const Grid *g = grids + run->grid;
        const int16_t *from =
            (const int16_t *)g->data + (row + run->row) * g->row + (column + run->column) * g->cell;
        for (int k = 0; k < run->values; k += LANES) {
            UNROLL
            for (int m = 0; m < M; m++) {
#if THIS == IS_plain
                for (int n = 0; n < N; n++)
                    sums[m][n] += (uint32_t)(from[m * g->cell + k] * w[n * next + k]);
#else
                V value = LOAD(from + m * g->cell + k);
                UNROLL
                for (int n = 0; n < N; n++) acc[m][n] = DOT(acc[m][n], LOAD(w + n * next + k), value);
#endif
            }
        }
        w += (run->values + WHOLE - 1) / WHOLE * WHOLE;
    }
#if THIS != IS_plain
    UNROLL
    for (int m = 0; m < M; m++) {
        UNROLL
        for (int n = 0; n < N; n++) {
            uint32_t lanes[LANES / 2], sum = 0;
            STORE((int16_t *)(void *)lanes, acc[m][n]);
            for (int lane = 0; lane < LANES / 2; lane++) sum += lanes[lane];
            sums[m][n] = sum;
        }
    }
#endif
}

/* Weights: for each output those of all runs, each padded with zeros to whole WHOLE. Behind the runs
   stand, for each output, its bias and three sums of weights that the mean is multiplied by. */
INLINE TARGET void NAME(weigh)(const Op *op, const Grid *grids, int row, int column, int cells) {
    const Run *runs = (const Run *)(const void *)op->bias;
    const Grid *to = grids + op->onto, *mean = grids + op->with;
    ptrdiff_t next = 0; /* weights of an output */
    for (const Run *run = runs; run < runs + op->part; run++)
        next += (run->values + WHOLE - 1) / WHOLE * WHOLE;
    for (int c = 0; c < cells;) {
        const int M = cells - c >= 4 ? 4 : 1;
        for (int first = 0; first < op->outputs;) {
            const int N = op->outputs - first >= 3 ? 3 : 1;
            const int16_t *w = op->weights + first * next;
            const int32_t *more = (const int32_t *)(const void *)(runs + op->part) + 4 * first;
            uint32_t sums[4][4];
            if (M == 4 && N == 3)
                NAME(weighed)(4, 3, op, grids, row, column + c, w, next, sums);
            else if (M == 4)
                NAME(weighed)(4, 1, op, grids, row, column + c, w, next, sums);
            else if (N == 3)
                NAME(weighed)(1, 3, op, grids, row, column + c, w, next, sums);
            else
                NAME(weighed)(1, 1, op, grids, row, column + c, w, next, sums);
            for (int m = 0; m < M; m++) {
                const int16_t *less = (const int16_t *)mean->data + row * mean->row + (column + c + m) * mean->cell;
                int16_t *out = (int16_t *)to->data + row * to->row + (column + c + m) * to->cell + first;
                for (int n = 0; n < N; n++) {
                    uint32_t v = sums[m][n] + (uint32_t)more[4 * n];
                    for (int k = 0; k < 3; k++) v -= (uint32_t)more[4 * n + 1 + k] * (uint32_t)less[k];
                    out[n] = saturated((int32_t)v >> op->shift);
                }
            }
            first += N;
        }
        c += M;
    }
}

#undef LANES
