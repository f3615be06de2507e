/*
 * exit_code.h - how the program ends, for scripts and supervisors. Part of the public contract.
 */
#ifndef WORKER_EXIT_CODE_H
#define WORKER_EXIT_CODE_H

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,      /* the job or a check failed */
    EXIT_USAGE = 2,       /* usage or configuration */
    EXIT_TIMEOUT = 3,     /* timed out, or not final yet */
    EXIT_UNREACHABLE = 4, /* Redis or the provider is out of reach */
};

#endif
