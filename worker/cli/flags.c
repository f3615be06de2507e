#include "worker/cli/verb.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_MAX 16

int
usage_error(const struct verb *verb, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "headgate %s: ", verb->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nusage: headgate %s %s   (headgate help %s tells more)\n", verb->name,
            verb->operands, verb->name);
    return EXIT_USAGE;
}

int
verb_error(const struct error *error)
{
    fprintf(stderr, "headgate: %s\n", error->message);
    switch (error->kind) {
    case ERROR_INPUT:
    case ERROR_CONFIG:
    case ERROR_TOO_LARGE: return EXIT_USAGE;
    case ERROR_NONE:
    case ERROR_INTERNAL: return EXIT_FAILED;
    case ERROR_REFUSED:
    case ERROR_TRANSIENT:
    case ERROR_UNREACHABLE:
    case ERROR_LOST:
    case ERROR_TIMEOUT: break;
    }
    return EXIT_UNREACHABLE;
}

static int
read_seconds(const struct verb *verb, const struct flag *flag, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 0.001 || seconds > 1e9) {
        usage_error(verb, "--%s %s: must be seconds above 0", flag->name, text);
        return -1;
    }
    *(int64_t *)flag->target = (int64_t)(seconds * 1000);
    return 0;
}

static int
take_flag(const struct verb *verb, const struct flag *flag, const char *value)
{
    switch (flag->type) {
    case FLAG_END: break;
    case FLAG_BOOL: *(bool *)flag->target = true; break;
    case FLAG_TEXT: *(const char **)flag->target = value; break;
    case FLAG_SECONDS: return read_seconds(verb, flag, value);
    case FLAG_EACH: return flag->each(verb, value, flag->target);
    }
    return 0;
}

/* The getopt table of these flags, --help behind them. Returns how many flags there are. */
static int
make_table(const struct flag *flags, struct option *table)
{
    int count = 0;

    for (; count < FLAGS_MAX && flags[count].type != FLAG_END; count++)
        table[count] = (struct option){
            .name = flags[count].name,
            .has_arg = flags[count].type == FLAG_BOOL ? no_argument : required_argument,
            .val = count + 1,
        };
    table[count] = (struct option){.name = "help", .val = 'h'};
    table[count + 1] = (struct option){0};
    return count;
}

static int
print_help(const struct verb *verb)
{
    printf("usage: headgate %s %s\n\n%s.\n\n%s", verb->name, verb->operands, verb->summary,
           verb->help);
    return EXIT_OK;
}

int
flags_read(const struct verb *verb, int argc, char **argv, const struct flag *flags, int least,
           int most, int *first, int *exit_code)
{
    struct option table[FLAGS_MAX + 2];
    int count = make_table(flags, table);
    int found;

    *exit_code = EXIT_USAGE;
    optind = 1;
    opterr = 0;
    while ((found = getopt_long(argc, argv, ":h", table, NULL)) != -1) {
        if (found == 'h') {
            *exit_code = print_help(verb);
            return -1;
        }
        if (found < 1 || found > count) {
            usage_error(verb, found == ':' ? "%s needs a value" : "%s is no option here",
                        argv[optind - 1]);
            return -1;
        }
        if (take_flag(verb, &flags[found - 1], optarg) != 0)
            return -1;
    }
    *first = optind;
    if (argc - optind >= least && argc - optind <= most)
        return 0;
    if (argc - optind < least)
        usage_error(verb, "something is missing");
    else
        usage_error(verb, "%s is one too many", argv[optind + most]);
    return -1;
}
