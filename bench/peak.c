/* The instruction peaks of one core: what no kernel can pass. Prints one JSON object: giga-operations a second by kind.
 *
 * A multiply with its add counts as two operations. Each loop keeps enough independent sums in flight to hide the
 * latency of the instruction, and reads nothing from memory. Time is the thread's own. Kinds that the processor lacks are left out.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define LOOPS 20000000L
#define REPEATS 5
#define TWELVE(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)
#define KEEP(register) __asm__ volatile("" : "+x"(register))
#define KEEP512(register) __asm__ volatile("" : "+v"(register))

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

__attribute__((target("avx2,fma"))) static void fp32_avx2(void) {
    __m256 sums[12], one = _mm256_set1_ps(1e-9f), two = _mm256_set1_ps(0.5f);
#define ZERO(n) sums[n] = _mm256_setzero_ps();
    TWELVE(ZERO)
#undef ZERO
    for (long loop = 0; loop < LOOPS; loop++) {
#define STEP(n) sums[n] = _mm256_fmadd_ps(one, two, sums[n]); KEEP(sums[n]);
        TWELVE(STEP)
#undef STEP
    }
}

/* Bytes to sums of 16 bits, those to sums of 32 bits, and the addition: the three instructions of int8 without VNNI. */
__attribute__((target("avx2"))) static void int8_avx2(void) {
    __m256i sums[12], one = _mm256_set1_epi8(1), two = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
#define ZERO(n) sums[n] = _mm256_setzero_si256();
    TWELVE(ZERO)
#undef ZERO
    for (long loop = 0; loop < LOOPS; loop++) {
#define STEP(n)                                                                  \
    {                                                                            \
        KEEP(one);                                                               \
        __m256i pairs = _mm256_maddubs_epi16(one, two);                          \
        KEEP(pairs);                                                             \
        __m256i quads = _mm256_madd_epi16(pairs, ones);                          \
        KEEP(quads);                                                             \
        sums[n] = _mm256_add_epi32(sums[n], quads);                              \
        KEEP(sums[n]);                                                           \
    }
        TWELVE(STEP)
#undef STEP
    }
}

/* The same with sums left at 16 bits: only for values so small that none overflows. */
__attribute__((target("avx2"))) static void int8_avx2_16bit_sums(void) {
    __m256i sums[12], one = _mm256_set1_epi8(1), two = _mm256_set1_epi8(2);
#define ZERO(n) sums[n] = _mm256_setzero_si256();
    TWELVE(ZERO)
#undef ZERO
    for (long loop = 0; loop < LOOPS; loop++) {
#define STEP(n)                                                                  \
    {                                                                            \
        KEEP(one);                                                               \
        __m256i pairs = _mm256_maddubs_epi16(one, two);                          \
        KEEP(pairs);                                                             \
        sums[n] = _mm256_add_epi16(sums[n], pairs);                              \
        KEEP(sums[n]);                                                           \
    }
        TWELVE(STEP)
#undef STEP
    }
}

__attribute__((target("avx512f"))) static void fp32_avx512(void) {
    __m512 sums[12], one = _mm512_set1_ps(1e-9f), two = _mm512_set1_ps(0.5f);
#define ZERO(n) sums[n] = _mm512_setzero_ps();
    TWELVE(ZERO)
#undef ZERO
    for (long loop = 0; loop < LOOPS; loop++) {
#define STEP(n) sums[n] = _mm512_fmadd_ps(one, two, sums[n]); KEEP512(sums[n]);
        TWELVE(STEP)
#undef STEP
    }
}

__attribute__((target("avx512f,avx512vnni"))) static void int8_avx512_vnni(void) {
    __m512i sums[12], one = _mm512_set1_epi8(1), two = _mm512_set1_epi8(2);
#define ZERO(n) sums[n] = _mm512_setzero_si512();
    TWELVE(ZERO)
#undef ZERO
    for (long loop = 0; loop < LOOPS; loop++) {
#define STEP(n) sums[n] = _mm512_dpbusd_epi32(sums[n], one, two); KEEP512(sums[n]);
        TWELVE(STEP)
#undef STEP
    }
}

__attribute__((target("avx512f,avx512bf16"))) static void bf16_avx512(void) {
    __m512 sums[12];
    __m512bh one = (__m512bh)_mm512_set1_epi16(0x3080), two = (__m512bh)_mm512_set1_epi16(0x3f00);
#define ZERO(n) sums[n] = _mm512_setzero_ps();
    TWELVE(ZERO)
#undef ZERO
    for (long loop = 0; loop < LOOPS; loop++) {
#define STEP(n) sums[n] = _mm512_dpbf16_ps(sums[n], one, two); KEEP512(sums[n]);
        TWELVE(STEP)
#undef STEP
    }
}

static int printed = 0;

/* The best of some repeats: a peak is what the core can do when nothing disturbs it. */
static void report(const char *name, int supported, void (*loop)(void), int operations) {
    double best = 1e9;
    if (!supported) return;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double began = now();
        loop();
        double seconds = now() - began;
        if (seconds < best) best = seconds;
    }
    printf("%s\"%s\": %.1f", printed++ ? ", " : "", name, 1e-9 * 12.0 * LOOPS * operations / best);
}

int main(void) {
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), avx512 = __builtin_cpu_supports("avx512f");
    printf("{");
    report("fp32_avx2", avx2, fp32_avx2, 16);
    report("int8_avx2", avx2, int8_avx2, 64);
    report("int8_avx2_16bit_sums", avx2, int8_avx2_16bit_sums, 64);
    report("fp32_avx512", avx512, fp32_avx512, 32);
    report("int8_avx512_vnni", avx512 && __builtin_cpu_supports("avx512vnni"), int8_avx512_vnni, 128);
    report("bf16_avx512", avx512 && __builtin_cpu_supports("avx512bf16"), bf16_avx512, 64);
    printf("}\n");
    return 0;
}
#else
int main(void) {
    printf("{}\n");
    return 0;
}
#endif
