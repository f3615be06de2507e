#include "worker/cli/cli.h"

#include <signal.h>

int
main(int argc, char **argv)
{
    /* A peer that closes is an error of that write, never the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    return cli_main(argc, argv);
}
