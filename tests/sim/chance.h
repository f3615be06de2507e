/*
 * chance.h - repeatable randomness: splitmix64 (Steele, Lea, Flood 2014). Pure.
 */
#ifndef SIM_CHANCE_H
#define SIM_CHANCE_H

#include <stddef.h>
#include <stdint.h>

/* The next 64 bits; any state is a good one. */
uint64_t chance_next(uint64_t *state);
/* Uniform in [0, 1). */
double chance_unit(uint64_t *state);
/* Uniform in [0, count); count >= 1. */
size_t chance_below(uint64_t *state, size_t count);
/* Lognormal with this median; sigma 0: the median itself. */
double chance_lognormal(uint64_t *state, double median, double sigma);
/* A state that depends on every byte and on `seed`. */
uint64_t chance_hash(uint64_t seed, const void *bytes, size_t len);

#endif
