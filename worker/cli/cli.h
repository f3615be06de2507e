/*
 * cli.h - the verbs of the command line.
 *
 * Each verb is a struct verb (verb.h) in a file of its own.
 */
#ifndef WORKER_CLI_CLI_H
#define WORKER_CLI_CLI_H

/* Runs `headgate VERB ...` and returns its exit_code. */
int cli_main(int argc, char **argv);

#endif
