#include "tests/sim/chance.h"

uint64_t
chance_next(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

double
chance_unit(uint64_t *state)
{
    return (double)(chance_next(state) >> 11) * 0x1p-53;
}

size_t
chance_below(uint64_t *state, size_t count)
{
    return (size_t)(chance_next(state) % count);
}

/* Twelve uniforms minus six: normal enough for latencies (Irwin-Hall), and no libm to link. */
static double
standard_normal(uint64_t *state)
{
    double sum = -6.0;

    for (int i = 0; i < 12; i++)
        sum += chance_unit(state);
    return sum;
}

/* (1 + x / 2^20)^(2^20) */
static double
exponential(double x)
{
    double power = 1.0 + x * 0x1p-20;

    for (int i = 0; i < 20; i++)
        power *= power;
    return power;
}

double
chance_lognormal(uint64_t *state, double median, double sigma)
{
    return median * exponential(sigma * standard_normal(state));
}

uint64_t
chance_hash(uint64_t seed, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u ^ seed; /* FNV-1a, mixed once more at the end */

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return chance_next(&hash);
}
