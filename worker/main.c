#include "common/memory.h"
#include "worker/cli/cli.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Memory holds keys and prompts: no core dump, and no look inside by other processes of the
 * same user. LeakSanitizer has to look inside. */
static void
keep_memory_private(void)
{
#ifndef __SANITIZE_ADDRESS__
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

/* What stands in /proc/PID/environ is the memory that the kernel filled. The settings move from
 * there, all of them: passwords hide in URLs, proxies and names that we don't know. */
static void
move_environment(void)
{
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        char *copy = xstrdup(*variable);

        explicit_bzero(*variable, strlen(*variable));
        *variable = copy;
    }
}

int
main(int argc, char **argv)
{
    /* A peer that closes is an error of that write, never the end of the process. */
    signal(SIGPIPE, SIG_IGN);
    keep_memory_private();
    move_environment();
    memory_guard_libraries();
    return cli_main(argc, argv);
}
