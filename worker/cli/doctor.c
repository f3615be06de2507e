#include "worker/cli/doctor.h"

#include "common/memory.h"
#include "common/utf8.h"
#include "worker/cli/verb.h"
#include "worker/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Sockets of Redis, of the HTTP port, and what libraries keep open. */
#define SPARE_DESCRIPTORS 64

static void
put_json(const struct doctor *doctor, const char *status, const char *check, const char *found,
         const char *advice, struct evbuffer *out)
{
    int before = doctor->counts[CHECK_OK] + doctor->counts[CHECK_WARN] + doctor->counts[CHECK_FAIL];

    evbuffer_add_printf(out, "%s{\"status\":\"%s\",\"check\":", before > 1 ? "," : "", status);
    json_put_string(out, check, strlen(check));
    evbuffer_add_printf(out, ",\"found\":");
    json_put_string(out, found, strlen(found));
    evbuffer_add_printf(out, ",\"advice\":");
    if (advice != NULL)
        json_put_string(out, advice, strlen(advice));
    else
        evbuffer_add_printf(out, "null");
    evbuffer_add(out, "}", 1);
}

void
doctor_tell(struct doctor *doctor, enum check_status status, const char *check, const char *advice,
            const char *found_format, ...)
{
    static const char *const names[] = {"OK", "WARN", "FAIL"};
    struct evbuffer *line = xevbuffer();
    char found[1024];
    va_list args;

    va_start(args, found_format);
    vsnprintf(found, sizeof(found), found_format, args);
    va_end(args);
    utf8_clean(found); /* providers and Redis speak in it */
    doctor->counts[status]++;
    if (doctor->json) {
        put_json(doctor, names[status], check, found, advice, line);
    } else {
        evbuffer_add_printf(line, "%-4s  %-24s %s", names[status], check, found);
        if (advice != NULL)
            evbuffer_add_printf(line, "\n      -> %s", advice);
    }
    print_line(line);
    fflush(stdout); /* a call to a model takes seconds: show what is known */
}

static void
check_descriptors(struct doctor *doctor)
{
    rlim_t needed = (rlim_t)doctor->session.config.concurrency + SPARE_DESCRIPTORS;
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    if (files.rlim_max >= needed)
        doctor_tell(doctor, CHECK_OK, "file descriptors", NULL, "%llu",
                    (unsigned long long)files.rlim_max);
    else
        doctor_tell(doctor, CHECK_WARN, "file descriptors",
                    "raise the limit (ulimit -n, LimitNOFILE=) or lower HEADGATE_CONCURRENCY",
                    "%llu, HEADGATE_CONCURRENCY=%d needs %llu", (unsigned long long)files.rlim_max,
                    doctor->session.config.concurrency, (unsigned long long)needed);
}

static void
check_redis(struct doctor *doctor)
{
    struct session *session = &doctor->session;
    char url[256];

    redis_url_show(&session->config.redis, url, sizeof(url));
    if (session_connect(session) == EXIT_OK) {
        doctor_tell(doctor, CHECK_OK, "Redis connection", NULL, "%s", url);
        doctor_check_redis(doctor);
        return;
    }
    doctor->is_out_of_reach = true;
    doctor_tell(doctor, CHECK_FAIL, "Redis connection",
                "check REDIS_URL, that Redis runs, and its password", "%s",
                session->last_error.message);
}

static void
check_file(struct doctor *doctor)
{
    const struct config *config = &doctor->session.config;
    struct settings settings;
    struct error err;
    char types[256];

    if (config->file == NULL)
        return;
    if (settings_read(&settings, config, config->sections, &err) != 0) {
        doctor_tell(doctor, CHECK_FAIL, "configuration file", "correct what is named", "%s",
                    err.message);
        return;
    }
    job_type_names(settings.types, types, sizeof(types));
    doctor_tell(doctor, CHECK_OK, "configuration file", NULL,
                "%.200s: %d models, %d tenants, job types %s", config->file, settings.notes.count,
                settings.tenants.count, types);
    settings_release(&settings);
}

static int
examine(struct doctor *doctor)
{
    if (doctor->json)
        puts("{\"checks\":[");
    check_file(doctor);
    check_redis(doctor);
    check_descriptors(doctor);
    doctor_check_models(doctor);
    if (doctor->json)
        printf("],\"warnings\":%d,\"failures\":%d}\n", doctor->counts[CHECK_WARN],
               doctor->counts[CHECK_FAIL]);
    else
        printf("\n%d fine, %d warnings, %d failures\n", doctor->counts[CHECK_OK],
               doctor->counts[CHECK_WARN], doctor->counts[CHECK_FAIL]);
    if (doctor->is_out_of_reach)
        return EXIT_UNREACHABLE;
    return doctor->counts[CHECK_FAIL] > 0 ? EXIT_FAILED : EXIT_OK;
}

static int
run_doctor(const struct verb *verb, int argc, char **argv)
{
    struct doctor doctor = {0};
    const char *queue = NULL;
    const struct flag flags[] = {{"no-calls", FLAG_BOOL, &doctor.no_calls, NULL},
                                 {"queue", FLAG_TEXT, &queue, NULL},
                                 {"json", FLAG_BOOL, &doctor.json, NULL},
                                 {0}};
    int first, exit_code;

    if (flags_read(verb, argc, argv, flags, 0, 0, &first, &exit_code) != 0)
        return exit_code;
    if ((exit_code = session_prepare(&doctor.session, queue)) != EXIT_OK)
        return exit_code;
    exit_code = examine(&doctor);
    session_close(&doctor.session);
    return exit_code;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .operands = "[--no-calls] [--queue Q] [--json]",
    .summary = "Checks Redis, credentials, each model and the clocks, with advice",
    .help = "  --no-calls  does not call the models; a call asks for one token and costs a\n"
            "              fraction of a cent\n"
            "  --queue Q   checks access to this queue; else to all of HEADGATE_QUEUES\n"
            "  --json      one JSON object\n\n"
            "Exit code: 1 when a check failed, 4 when Redis or the provider is out of reach.\n",
    .run = run_doctor,
};
