/* The vector operations of one instruction set, ISA; included by stage.h, undone by no_vectors.h.

   V holds 32-bit lanes; NV of them hold a panel of 16 outputs. A pair of int16 in each lane is a
   vector of twice as many int16. */

#define THIS JOIN(IS, ISA)

#if THIS == IS_plain
#define TARGET
#elif THIS == IS_sse41
#define TARGET __attribute__((target("sse4.1")))
#define V __m128i
#define NV 4
#define CELLS(panels) ((panels) == 1 ? 3 : 1) /* of a tile */
#define MOST_PANELS 1
#define ZERO _mm_setzero_si128()
#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define SPREAD(p) _mm_set1_epi32(pair_at(p))
#define DOT(acc, w, x) _mm_add_epi32(acc, _mm_madd_epi16(w, x))
#define ADD32 _mm_add_epi32
#define SPREAD32 _mm_set1_epi32
#define MAX32 _mm_max_epi32
#define SHR(v, n) _mm_sra_epi32(v, _mm_cvtsi32_si128(n))
#define ADDS16 _mm_adds_epi16
#define STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define ZIPLO _mm_unpacklo_epi16
#define ZIPHI _mm_unpackhi_epi16
#define NARROW(a, b) _mm_packs_epi32(a, b) /* of vectors from ZIPLO and ZIPHI */
#elif THIS == IS_avx2
#define TARGET __attribute__((target("avx2")))
#define V __m256i
#define NV 2
#define CELLS(panels) ((panels) == 1 ? 6 : 3)
#define MOST_PANELS 1
#define ZERO _mm256_setzero_si256()
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define SPREAD(p) _mm256_set1_epi32(pair_at(p))
#define DOT(acc, w, x) _mm256_add_epi32(acc, _mm256_madd_epi16(w, x))
#define ADD32 _mm256_add_epi32
#define SPREAD32 _mm256_set1_epi32
#define MAX32 _mm256_max_epi32
#define SHR(v, n) _mm256_sra_epi32(v, _mm_cvtsi32_si128(n))
#define ADDS16 _mm256_adds_epi16
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define ZIPLO _mm256_unpacklo_epi16
#define ZIPHI _mm256_unpackhi_epi16
#define NARROW(a, b) _mm256_packs_epi32(a, b)
#elif THIS == IS_avx512 || THIS == IS_vnni
#if defined(__clang__) && __clang_major__ >= 18 && __clang_major__ <= 20
/* their own word for registers of 512 bits, which zig takes away unless it is said */
#define AVX512 "evex512,avx512f,avx512bw,avx512vl,avx512dq"
#else
#define AVX512 "avx512f,avx512bw,avx512vl,avx512dq"
#endif
#if THIS == IS_vnni
#define TARGET __attribute__((target(AVX512 ",avx512vnni")))
#ifdef __clang__
#define DOT _mm512_dpwssd_epi32
#else
/* gcc 12 copies registers around _mm512_dpwssd_epi32, which costs a third of the speed */
INLINE TARGET __m512i vnni_dot(__m512i acc, __m512i w, __m512i x) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
    return acc;
}
#define DOT vnni_dot
#endif
#else
#define TARGET __attribute__((target(AVX512)))
#define DOT(acc, w, x) _mm512_add_epi32(acc, _mm512_madd_epi16(w, x))
#endif
#define V __m512i
#define NV 1
#define CELLS(panels) ((panels) == 4 ? 4 : (panels) == 3 ? 6 : (panels) == 2 ? 8 : 12)
#define MOST_PANELS 4
#define ZERO _mm512_setzero_si512()
#define LOAD(p) _mm512_loadu_si512(p)
#define SPREAD(p) _mm512_set1_epi32(pair_at(p))
#define ADD32 _mm512_add_epi32
#define SPREAD32 _mm512_set1_epi32
#define MAX32 _mm512_max_epi32
#define SHR(v, n) _mm512_sra_epi32(v, _mm_cvtsi32_si128(n))
#define ADDS16 _mm512_adds_epi16
#define STORE(p, v) _mm512_storeu_si512(p, v)
#define ZIPLO _mm512_unpacklo_epi16
#define ZIPHI _mm512_unpackhi_epi16
#define NARROW(a, b) _mm512_packs_epi32(a, b)
#elif THIS == IS_wasm
#define TARGET
#define V v128_t
#define NV 4
#define CELLS(panels) 2 /* more would not stay in the 15 registers that V8 has on x86 */
#define MOST_PANELS 1
#define ZERO wasm_i32x4_splat(0)
#define LOAD(p) wasm_v128_load(p)
#define SPREAD(p) wasm_v128_load32_splat(p)
#define DOT(acc, w, x) wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(w, x))
#define ADD32 wasm_i32x4_add
#define SPREAD32 wasm_i32x4_splat
#define MAX32 wasm_i32x4_max
#define SHR(v, n) wasm_i32x4_shr(v, n)
#define ADDS16 wasm_i16x8_add_sat
#define STORE(p, v) wasm_v128_store(p, v)
#define ZIPLO(a, b) wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIPHI(a, b) wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define NARROW(a, b) wasm_i16x8_narrow_i32x4(a, b)
#elif THIS == IS_neon
/* No multiply of pairs: both products of a lane are widened, then added across. */
#define TARGET
#define V int32x4_t
#define NV 4
#define CELLS(panels) 4
#define MOST_PANELS 1
#define ZERO vdupq_n_s32(0)
#define LOAD(p) vreinterpretq_s32_s16(vld1q_s16(p))
#define SPREAD(p) vdupq_n_s32(pair_at(p))
INLINE int32x4_t neon_dot(int32x4_t acc, int32x4_t w, int32x4_t x) {
    int16x8_t a = vreinterpretq_s16_s32(w), b = vreinterpretq_s16_s32(x);
    int32x4_t low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
    return vaddq_s32(acc, vpaddq_s32(low, vmull_high_s16(a, b)));
}
#define DOT neon_dot
#define ADD32 vaddq_s32
#define SPREAD32 vdupq_n_s32
#define MAX32 vmaxq_s32
#define SHR(v, n) vshlq_s32(v, vdupq_n_s32(-(n)))
#define ADDS16(a, b) vreinterpretq_s32_s16(vqaddq_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)))
#define STORE(p, v) vst1q_s16(p, vreinterpretq_s16_s32(v))
#define ZIPLO(a, b) vreinterpretq_s32_s16(vzip1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)))
#define ZIPHI(a, b) vreinterpretq_s32_s16(vzip2q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)))
#define NARROW(a, b) vreinterpretq_s32_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)))
#endif
