#include "worker/cli/doctor.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_WARN_MS 1000

/* ---- one command ---- */

int
doctor_ask(struct doctor *doctor, const char *key, const struct redis_args *args,
           session_read_fn *read, void *arg, struct error *err)
{
    struct session *session = &doctor->session;
    struct session_call call = {.read = read, .arg = arg};

    redis_send(redis_route_commands(session->route, key), args, 0, session_on_reply, &call);
    while (!call.is_over)
        event_base_loop(session->base, EVLOOP_ONCE);
    *err = call.error;
    return call.error.kind == ERROR_NONE ? 0 : -1;
}

/* ---- INFO ---- */

static void
on_info(const redisReply *reply, void *arg)
{
    const char *text = redis_str(reply, NULL);

    if (text != NULL)
        *(char **)arg = strdup(text);
}

/* The value of "name:value" on a line of its own; empty when it is not there. */
static void
info_value(const char *info, const char *name, char *value, size_t size)
{
    size_t name_len = strlen(name);

    value[0] = '\0';
    for (const char *line = info; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, name_len) != 0 || line[name_len] != ':')
            continue;
        snprintf(value, size, "%.*s", (int)strcspn(line + name_len + 1, "\r\n"),
                 line + name_len + 1);
        return;
    }
}

static void
check_version(struct doctor *doctor, const char *info)
{
    char version[64];
    int major = 0, minor = 0;

    info_value(info, "redis_version", version, sizeof(version));
    if (sscanf(version, "%d.%d", &major, &minor) != 2)
        doctor_tell(doctor, CHECK_WARN, "Redis version", "6.2 or newer is needed", "not told");
    else if (major > 6 || (major == 6 && minor >= 2))
        doctor_tell(doctor, CHECK_OK, "Redis version", NULL, "%s", version);
    else
        doctor_tell(doctor, CHECK_FAIL, "Redis version", "upgrade to 6.2 or newer", "%s", version);
}

static void
check_role(struct doctor *doctor, const char *info)
{
    char role[32];

    info_value(info, "role", role, sizeof(role));
    if (strcmp(role, "master") == 0)
        doctor_tell(doctor, CHECK_OK, "Redis role", NULL, "master");
    else
        doctor_tell(doctor, CHECK_FAIL, "Redis role",
                    "point REDIS_URL at the primary: a replica takes no writes", "%s", role);
}

static void
check_eviction(struct doctor *doctor, const char *info)
{
    char policy[64];

    info_value(info, "maxmemory_policy", policy, sizeof(policy));
    if (strcmp(policy, "noeviction") == 0)
        doctor_tell(doctor, CHECK_OK, "maxmemory-policy", NULL, "noeviction");
    else if (policy[0] == '\0')
        doctor_tell(doctor, CHECK_WARN, "maxmemory-policy", "make sure that it is noeviction",
                    "not told");
    else
        doctor_tell(doctor, CHECK_FAIL, "maxmemory-policy",
                    "CONFIG SET maxmemory-policy noeviction: else a full Redis throws jobs away",
                    "%s", policy);
}

static void
on_save(const redisReply *reply, void *arg)
{
    *(bool *)arg = redis_str(redis_at(reply, 1), "")[0] != '\0';
}

static void
check_persistence(struct doctor *doctor, const char *info)
{
    static const char advice[] = "set appendonly yes, unless losing jobs with Redis is fine";
    struct redis_args args = {0};
    bool has_save = false;
    char aof[8];
    struct error err;

    info_value(info, "aof_enabled", aof, sizeof(aof));
    if (strcmp(aof, "1") == 0) {
        doctor_tell(doctor, CHECK_OK, "Redis persistence", NULL, "append-only file");
        return;
    }
    redis_arg(&args, "CONFIG");
    redis_arg(&args, "GET");
    redis_arg(&args, "save");
    if (doctor_ask(doctor, "", &args, on_save, &has_save, &err) != 0)
        doctor_tell(doctor, CHECK_WARN, "Redis persistence", advice,
                    "no append-only file; snapshots: not told (%s)", err.message);
    else if (has_save)
        doctor_tell(doctor, CHECK_WARN, "Redis persistence", advice,
                    "snapshots only: a crash loses the jobs since the last one");
    else
        doctor_tell(doctor, CHECK_WARN, "Redis persistence", advice,
                    "none: a restart of Redis loses all jobs");
}

static void
check_info(struct doctor *doctor)
{
    struct redis_args args = {0};
    char *info = NULL;
    struct error err;

    redis_arg(&args, "INFO");
    if (doctor_ask(doctor, "", &args, on_info, &info, &err) != 0 || info == NULL) {
        doctor_tell(doctor, CHECK_WARN, "Redis INFO",
                    "allow INFO, or check by hand: version >= 6.2, role master, appendonly yes, "
                    "maxmemory-policy noeviction",
                    "%s", err.message);
        return;
    }
    check_version(doctor, info);
    check_role(doctor, info);
    check_persistence(doctor, info);
    check_eviction(doctor, info);
    free(info);
}

/* ---- TIME ---- */

static void
on_time(const redisReply *reply, void *arg)
{
    *(int64_t *)arg =
        redis_int(redis_at(reply, 0), 0) * 1000 + redis_int(redis_at(reply, 1), 0) / 1000;
}

static void
check_clock(struct doctor *doctor)
{
    struct redis_args args = {0};
    int64_t redis_ms = 0, before_ms = clock_wall_ms(), ahead_ms;
    struct error err;

    redis_arg(&args, "TIME");
    if (doctor_ask(doctor, "", &args, on_time, &redis_ms, &err) != 0) {
        doctor_tell(doctor, CHECK_FAIL, "Redis clock", "allow TIME: leases need it", "%s",
                    err.message);
        return;
    }
    ahead_ms = redis_ms - (before_ms + clock_wall_ms()) / 2;
    if (llabs(ahead_ms) <= CLOCK_WARN_MS)
        doctor_tell(doctor, CHECK_OK, "Redis clock", NULL, "%" PRId64 " ms ahead of this host",
                    ahead_ms);
    else
        doctor_tell(doctor, CHECK_WARN, "Redis clock",
                    "run NTP on both: run_at, expires_at and waiting times are off by this",
                    "%" PRId64 " ms ahead of this host", ahead_ms);
}

/* ---- queues ---- */

static void
check_queue(struct doctor *doctor, const char *queue)
{
    struct redis_args args = {0};
    struct error err;

    redis_arg(&args, "LLEN");
    redis_arg(&args, queue);
    if (doctor_ask(doctor, queue, &args, NULL, NULL, &err) == 0)
        doctor_tell(doctor, CHECK_OK, "queue", NULL, "%s", queue);
    else
        doctor_tell(doctor, CHECK_FAIL, "queue", "its key must be a list, and open to this user",
                    "%s: %s", queue, err.message);
}

void
doctor_check_redis(struct doctor *doctor)
{
    check_info(doctor);
    check_clock(doctor);
    doctor_check_rights(doctor);
    for (int i = 0; i < doctor->session.queue_count; i++)
        check_queue(doctor, doctor->session.queues[i]);
}
