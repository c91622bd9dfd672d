/* Networks of int16 features and weights and int32 sums, on the best instruction set there is.

   `stage.h` and what it includes have the code once, written with a handful of vector operations that
   `vectors.h` has for each instruction set; all are included here once for each. All of them give the same integers,
   since nothing rounds but the shifts, and no sum leaves 32 bits, which is proved when weights
   are loaded. */

#include "kernel.h"

#if defined(__wasm__)
void *memcpy(void *, const void *, size_t);
int strcmp(const char *, const char *);
#else
#include <string.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 12")
#endif
#if defined(__x86_64__)
#define HAVE_X86 1
#include <immintrin.h>
#elif defined(__aarch64__)
#define HAVE_NEON 1
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#define HAVE_WASM 1
#include <wasm_simd128.h>
#endif
#else
#define INLINE static
#define UNROLL
#endif

typedef struct {
    int16_t *data;
    ptrdiff_t cell; /* stride */
} Slot;

static inline int16_t saturated(int32_t v) {
    return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v);
}

static inline int32_t leak_half(int shift, int leak) {
    return leak ? (int32_t)((1u << (shift + leak - 1)) - (1u << (shift - 1))) : 0;
}

static inline int32_t pair_at(const int16_t *p) { /* two of them, as they lie */
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return pair;
}

#define IS_plain 1
#define IS_sse41 2
#define IS_avx2 3
#define IS_avx512 4
#define IS_vnni 5
#define IS_neon 6
#define IS_wasm 7
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(f) JOIN(f, ISA)

#define ISA plain
#include "stage.h"
#undef ISA

#if defined(HAVE_X86)
#define ISA sse41
#include "stage.h"
#undef ISA
#define ISA avx2
#include "stage.h"
#undef ISA
#define ISA avx512
#include "stage.h"
#undef ISA
#define ISA vnni
#include "stage.h"
#undef ISA
#elif defined(HAVE_NEON)
#define ISA neon
#include "stage.h"
#undef ISA
#elif defined(HAVE_WASM)
#define ISA wasm
#include "stage.h"
#undef ISA
#endif

static int always(void) { return 1; }
#if defined(HAVE_X86)
static int has_sse41(void) { return __builtin_cpu_supports("sse4.1"); }
static int has_avx2(void) { return __builtin_cpu_supports("avx2"); }
static int has_avx512(void) {
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
}
static int has_vnni(void) { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#endif

static const struct {
    const char *name;
    int (*runs)(void);
    StageFn *stage;
} SETS[] = { /* the best last */
    {"plain", always, stage_plain},
#if defined(HAVE_X86)
    {"sse4.1", has_sse41, stage_sse41},
    {"avx2", has_avx2, stage_avx2},
    {"avx512", has_avx512, stage_avx512},
    {"vnni", has_vnni, stage_vnni},
#elif defined(HAVE_NEON)
    {"neon", always, stage_neon},
#elif defined(HAVE_WASM)
    {"wasm", always, stage_wasm},
#endif
};
#define NUM_SETS ((int)(sizeof SETS / sizeof SETS[0]))

StageFn *kernel_stage = stage_plain;

/* The name of an instruction set that this build has, best last; NULL behind the last. */
const char *kernel_name(int index) {
    return index >= 0 && index < NUM_SETS ? SETS[index].name : NULL;
}

static int find(const char *name) {
    for (int i = 0; i < NUM_SETS; i++)
        if (!strcmp(SETS[i].name, name)) return i;
    return -1;
}

/* Whether this processor runs it. */
int kernel_runnable(const char *name) {
    int i = find(name);
    return i >= 0 && SETS[i].runs();
}

/* Use an instruction set from here on; 0 if that cannot be. */
int kernel_select(const char *name) {
    int i = find(name);
    if (i < 0 || !SETS[i].runs()) return 0;
    kernel_stage = SETS[i].stage;
    return 1;
}

/* Pack weights (inputs, outputs), whole panels of both: by panels of outputs, in those by pairs of inputs. */
void kernel_pack(const int16_t *weights, int inputs, int outputs, int16_t *packed) {
    for (int first = 0; first < outputs; first += PANEL)
        for (int i = 0; i < inputs; i += 2)
            for (int o = first; o < first + PANEL; o++) {
                *packed++ = weights[(size_t)i * outputs + o];
                *packed++ = weights[(size_t)(i + 1) * outputs + o];
            }
}

/* int16 values of scratch that a stage needs whose widest value has so many channels. */
int64_t kernel_scratch_size(int widest) { return (int64_t)BUFFERS * SEGMENT * widest + 64; }
