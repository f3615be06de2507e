/*
 * options.h - the command line and the two files it names.
 */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include "tests/sim/settings.h"

struct options {
    int port;                /* 0: any free one */
    const char *port_file;   /* NULL: none; borrowed from argv, as is the next */
    const char *config_file; /* NULL: none */
    uint64_t seed;
    bool is_quiet;
};

/* 0, or -1 after saying on stderr how to call it. */
int options_read(int argc, char **argv, struct options *options);
/* The defaults, with the configuration file over them, or NULL. */
struct settings *options_settings(const struct options *options, struct error *err) WARN_UNUSED;
/* Whoever waits for the file never sees half of it. */
int options_write_port(const char *path, int port, struct error *err) WARN_UNUSED;

#endif
