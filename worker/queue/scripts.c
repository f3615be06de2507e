#include "worker/queue/scripts.h"

static const struct script_source sources[SCRIPT_COUNT] = {
    [SCRIPT_CLAIM] =
        {
            "claim",
#include "worker/queue/lua/claim.lua.h"
        },
    [SCRIPT_BEGIN] =
        {
            "begin",
#include "worker/queue/lua/begin.lua.h"
        },
    [SCRIPT_SETTLE] =
        {
            "settle",
#include "worker/queue/lua/settle.lua.h"
        },
    [SCRIPT_DEAD] =
        {
            "dead",
#include "worker/queue/lua/dead.lua.h"
        },
    [SCRIPT_RETRY] =
        {
            "retry",
#include "worker/queue/lua/retry.lua.h"
        },
    [SCRIPT_RELEASE] =
        {
            "release",
#include "worker/queue/lua/release.lua.h"
        },
    [SCRIPT_REAP] =
        {
            "reap",
#include "worker/queue/lua/reap.lua.h"
        },
    [SCRIPT_BEAT] =
        {
            "beat",
#include "worker/queue/lua/beat.lua.h"
        },
    [SCRIPT_CANCEL] =
        {
            "cancel",
#include "worker/queue/lua/cancel.lua.h"
        },
    [SCRIPT_DEAD_RETRY] =
        {
            "dead_retry",
#include "worker/queue/lua/dead_retry.lua.h"
        },
    [SCRIPT_STATS] =
        {
            "stats",
#include "worker/queue/lua/stats.lua.h"
        },
    [SCRIPT_STATUS] =
        {
            "status",
#include "worker/queue/lua/status.lua.h"
        },
};

void
queue_scripts_init(struct redis_script *scripts, const struct script_source *others)
{
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        const struct script_source *source =
            others != NULL && others[i].source != NULL ? &others[i] : &sources[i];

        redis_script_init(&scripts[i], source->name, source->source);
    }
}
