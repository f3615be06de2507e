/*
 * cli.h - the verbs of the command line.
 *
 * Exit codes: 0 done, 1 the job or check failed, 2 usage or configuration, 3 timed out,
 * 4 Redis or provider out of reach.
 */
#ifndef WORKER_CLI_CLI_H
#define WORKER_CLI_CLI_H

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_TIMEOUT = 3,
    CLI_UNREACHABLE = 4,
};

/* Runs `headgate VERB ...` and returns its exit code. */
int cli_main(int argc, char **argv);

#endif
