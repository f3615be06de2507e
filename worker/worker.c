#include "worker/worker_internal.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/memory.h"
#include "common/systemd.h"
#include "worker/exit_code.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A blocking pop ends well before a lease, so that none outlives its worker's. */
#define BLOCKS_PER_LEASE 3
#define BLOCK_MAX_MS     5000
/* Descriptors that calls to models leave to others: the HTTP port's connections, Redis, files. */
#define DESCRIPTORS_KEPT 352
/* What is open beside calls, HTTP and the blocking pops: the log, the loop, signals, Redis twice,
 * a file that is read. */
#define DESCRIPTORS_OWN        12
#define HTTP_CONNECTIONS_LEAST 4
/* A thousand may wait for a result, and others must still get in. */
#define HTTP_CONNECTIONS_MAX 1250

static const int handled_signals[WORKER_SIGNALS] = {SIGTERM, SIGINT,  SIGHUP,
                                                    SIGTSTP, SIGCONT, SIGUSR1};

/* ---- what the intake asks ---- */

static int
least(int a, int b)
{
    return a < b ? a : b;
}

/* Free slots; fewer when the models have no room for them, or when results pile up that Redis does
 * not take: memory has a bound. */
static int
room(void *arg)
{
    const struct worker *w = arg;
    int free_slots = w->slots - w->slots_busy;
    int unsettled_room = 2 * w->slots - (int)HASH_COUNT(w->attempts);
    int paced_room = w->pacer == NULL ? free_slots : pacer_room(w->pacer);

    if (w->phase != PHASE_WORKING || w->is_quiet || !worker_meets_redis(w))
        return 0;
    return gate_room(&w->gate, least(paced_room, least(free_slots, unsettled_room)), w->slots_busy,
                     clock_mono_ms());
}

static void
on_room(void *arg)
{
    struct worker *w = arg;

    intake_kick(w->intake);
}

static int64_t
room_bytes(int open_claims, int64_t most, void *arg)
{
    const struct worker *w = arg;

    return budget_claim_bytes(&w->budget, open_claims, most) / job_types_most_copies(w->types);
}

static int
index_of(const struct worker *w, const struct queue *queue)
{
    int i = 0;

    while (w->queues[i] != queue)
        i++;
    return i;
}

static struct beat *
beat_of(const struct worker *w, const struct queue *queue)
{
    return w->beats[index_of(w, queue)];
}

static bool
may_call(struct queue *queue, void *arg)
{
    return beat_is_alive(beat_of(arg, queue));
}

static bool
may_claim(struct queue *queue, void *arg)
{
    const struct worker *w = arg;

    return !w->is_let_go[index_of(w, queue)] && may_call(queue, arg) &&
           redis_route_serves(w->route, queue_name(queue), NULL);
}

static void
on_unregistered(struct queue *queue, void *arg)
{
    beat_now(beat_of(arg, queue));
}

static void
on_claim(struct queue *queue, struct claim *claim, void *arg)
{
    struct worker *w = arg;
    struct running *running = xcalloc(1, sizeof(*running));

    w->slots_busy++;
    w->has_worked = true;
    running->attempt = attempt_start(&w->attempt_context, queue, claim);
    HASH_ADD_PTR(w->attempts, attempt, running);
}

/* ---- signals ---- */

static void
set_quiet(struct worker *w, bool is_quiet)
{
    if (w->phase != PHASE_WORKING || w->is_quiet == is_quiet)
        return;
    w->is_quiet = is_quiet;
    log_info(is_quiet ? "quiet: no new jobs until SIGCONT" : "taking jobs again");
    intake_set_quiet(w->intake, is_quiet);
}

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
    struct worker *w = arg;

    (void)what;
    switch (number) {
    case SIGTERM:
    case SIGINT:
        if (w->phase == PHASE_WORKING)
            worker_drain(w);
        else if (w->phase == PHASE_DRAINING)
            worker_stop(w);
        break;
    case SIGTSTP: set_quiet(w, true); break;
    case SIGCONT: set_quiet(w, false); break;
    case SIGUSR1: worker_dump_state(w); break;
    case SIGHUP: worker_reload(w); break;
    default: break;
    }
}

/* ---- life ---- */

static void
name_worker(struct worker *w)
{
    char host[64] = "host";

    gethostname(host, sizeof(host) - 1);
    snprintf(w->id, sizeof(w->id), "%s:%d:%04x", host, (int)getpid(),
             (unsigned)clock_jitter(0, 0xffff));
}

/* What is left of the descriptors beside the calls, Redis and what any process has is the HTTP
 * port's: clients that connect and say nothing must not take the others'. */
static int
count_http_connections(const struct worker *w, rlim_t files)
{
    rlim_t others = (rlim_t)w->slots + (rlim_t)w->config->queue_count + DESCRIPTORS_OWN;
    rlim_t left = files > others ? files - others : 0;

    if (left < HTTP_CONNECTIONS_LEAST)
        return HTTP_CONNECTIONS_LEAST;
    return left < HTTP_CONNECTIONS_MAX ? (int)left : HTTP_CONNECTIONS_MAX;
}

/* One call needs one descriptor: take what the host gives, and run no more calls than leave some
 * for Redis and the HTTP port. A connection to Redis that could not be opened again would be the
 * end. */
static void
share_descriptors(struct worker *w)
{
    struct rlimit files;
    rlim_t kept;

    w->slots = w->config->concurrency;
    w->http_connections = HTTP_CONNECTIONS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    kept = files.rlim_cur / 2 < DESCRIPTORS_KEPT ? files.rlim_cur / 2 : DESCRIPTORS_KEPT;
    if (files.rlim_cur - kept < (rlim_t)w->slots) {
        w->slots = (int)(files.rlim_cur - kept);
        log_warn("too few file descriptors for HEADGATE_CONCURRENCY: fewer jobs run at once; raise "
                 "ulimit -n",
                 LOG_INT("descriptors", (int64_t)files.rlim_cur),
                 LOG_INT("concurrency", w->config->concurrency), LOG_INT("slots", w->slots));
    }
    w->http_connections = count_http_connections(w, files.rlim_cur);
}

/* Whoever set one expects it to be used; whoever did not, nothing of the kind. */
static void
warn_of_proxy(const struct config *config)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy",
                                        "ALL_PROXY"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !config->use_proxy_env; i++)
        if (getenv(names[i]) != NULL && getenv(names[i])[0] != '\0')
            log_warn("a proxy is set and not used: HEADGATE_PROXY=environment would",
                     LOG_STR("variable", names[i]));
}

static void
log_start(const struct worker *w)
{
    char url[512];

    redis_url_show(&w->config->redis, url, sizeof(url));
    warn_of_proxy(w->config);
    log_info("Multi-model fallback enabled (V2 - Per-Request Isolation)");
    for (int i = 0; i < w->models.count; i++)
        log_info(i == 0 ? "model 1, the primary" : "model, a fallback", LOG_INT("number", i + 1),
                 LOG_STR("model", w->models.models[i].name),
                 LOG_STR("name", w->models.models[i].display));
    if (w->config->file != NULL)
        log_info("configuration file", LOG_STR("file", w->config->file));
    log_info("worker starts", LOG_STR("version", HEADGATE_VERSION), LOG_STR("worker", w->id),
             LOG_STR("redis", url), LOG_STR("endpoint", bedrock_endpoint(w->bedrock)),
             LOG_STR("credentials", bedrock_credentials(w->bedrock)->source),
             LOG_INT("concurrency", w->config->concurrency));
}

static int
open_settings(struct worker *w, struct error *err)
{
    struct settings settings;

    if (settings_read(&settings, w->config, w->config->sections, err) < 0)
        return -1;
    worker_take_settings(w, &settings);
    settings_release(&settings);
    return 0;
}

static int
open_models(struct worker *w, struct error *err)
{
    if (w->config->use_celery)
        w->celery = celery_new(w->config);
    if (open_settings(w, err) < 0 || model_list_load(&w->models, w->config, err) < 0)
        return -1;
    if (w->models.count == 0)
        return error_set(err, ERROR_CONFIG,
                         "BEDROCK_MODEL_ID is not set: name the primary model, for example "
                         "BEDROCK_MODEL_ID=anthropic.claude-3-5-sonnet-20240620-v1:0");
    w->bedrock = bedrock_new(NULL, NULL, err);
    if (w->bedrock == NULL)
        return -1;
    w->provider = bedrock_provider(w->bedrock);
    if (bedrock_credentials(w->bedrock)->auth == AWS_AUTH_NONE)
        log_warn("no AWS credentials found: jobs will wait until there are some");
    return 0;
}

static void
open_redis(struct worker *w)
{
    char *name = xasprintf("headgate:%s", w->id);

    w->route = redis_route_new(w->base, &w->config->redis, name, worker_on_redis_state, w);
    w->notices = redis_route_dedicated(w->route, NULL, "notices", NULL, worker_on_notice, w);
    free(name);
}

static void
open_queues(struct worker *w)
{
    const struct config *config = w->config;
    int64_t block_ms = config->lease_ms / BLOCKS_PER_LEASE;

    for (int i = 0; i < config->queue_count; i++) {
        w->queues[i] = queue_new(&(struct queue_options){
            .base = w->base,
            .route = w->route,
            .prefix = config->prefix,
            .name = config->queues[i].name,
            .worker = w->id,
            .lease_ms = config->lease_ms,
            .result_ttl_ms = config->result_ttl_ms,
            .dead_max = config->dead_max,
            .flavour = w->celery == NULL ? NULL : celery_flavour(w->celery, i),
            .is_fair = config->queues[i].is_fair,
            .tenants = &w->tenants,
        });
        redis_subscribe(w->notices, queue_control_channel(w->queues[i]));
    }
    w->intake = intake_new(&(struct intake_options){
        .base = w->base,
        .route = w->route,
        .config = config,
        .queues = w->queues,
        .block_ms = block_ms < BLOCK_MAX_MS ? block_ms : BLOCK_MAX_MS,
        .room = room,
        .room_bytes = room_bytes,
        .may_claim = may_claim,
        .on_claim = on_claim,
        .on_unregistered = on_unregistered,
        .arg = w,
    });
    for (int i = 0; i < config->queue_count; i++)
        w->beats[i] = beat_new(&(struct beat_options){
            .base = w->base,
            .queue = w->queues[i],
            .lease_ms = config->lease_ms,
            .on_lease_lost = worker_on_lease_lost,
            .on_cancel = worker_on_cancel,
            .on_news = worker_on_news,
            .arg = w,
        });
}

/* ---- what Celery's control asks ---- */

static void
on_terminate(int queue, const char *id, void *arg)
{
    struct worker *w = arg;

    worker_on_cancel(w->queues[queue], id, w);
}

static void
on_consume(int queue, bool is_wanted, void *arg)
{
    struct worker *w = arg;

    w->is_let_go[queue] = !is_wanted;
    intake_look_everywhere(w->intake);
}

static void
on_shut_down(void *arg)
{
    (void)arg;
    raise(SIGTERM);
}

static void
open_node(struct worker *w)
{
    if (w->celery == NULL)
        return;
    w->node = celery_node_new(&(struct celery_node_options){
        .base = w->base,
        .route = w->route,
        .config = w->config,
        .celery = w->celery,
        .worker = w->id,
        .version = HEADGATE_VERSION,
        .slots = w->slots,
        .terminate = on_terminate,
        .consume = on_consume,
        .shut_down = on_shut_down,
        .arg = w,
    });
    for (const char *const *name = celery_node_channels(w->node); *name != NULL; name++)
        redis_subscribe(w->notices, *name);
}

static void
open_rooms(struct worker *w)
{
    w->metrics = metrics_new();
    budget_init(&w->budget, w->config->memory_max, w->config->max_job_bytes,
                w->config->max_response_bytes);
    memory_return_large_blocks();
    w->http = http_client_new(&(struct http_client_options){
        .base = w->base,
        .max_calls = w->slots,
        .use_proxy_env = w->config->use_proxy_env,
        .budget = &w->budget,
    });
    open_redis(w);
    w->hints = hints_new(w->base, w->route, w->config->prefix, &w->models);
    if (w->config->policy == POLICY_V1)
        hints_use_v1(w->hints);
    if (w->config->policy == POLICY_PACED)
        w->pacer = pacer_new(&(struct pacer_options){
            .base = w->base,
            .route = w->route,
            .prefix = w->config->prefix,
            .models = &w->models,
            .on_room = on_room,
            .arg = w,
        });
    w->desk = desk_new(w->route, w->config->prefix);
    if (w->celery != NULL)
        desk_set_kombu(w->desk, w->config->celery_keyprefix);
    w->attempt_context = (struct attempt_context){
        .base = w->base,
        .config = w->config,
        .models = &w->models,
        .types = w->types,
        .providers = &w->provider,
        .provider_count = 1,
        .http = w->http,
        .hints = w->hints,
        .pacer = w->pacer,
        .metrics = w->metrics,
        .budget = &w->budget,
        .worker = w->id,
        .wire = w->celery == NULL ? NULL : celery_wire(w->celery),
        .may_call = may_call,
        .on_slot_free = worker_on_slot_free,
        .on_done = worker_on_attempt_done,
        .arg = w,
    };
    open_queues(w);
    open_node(w);
}

static struct job_types *
types(void *arg)
{
    const struct worker *w = arg;

    return w->types;
}

static int
open_control(struct worker *w, struct error *err)
{
    if (w->config->http_address[0] == '\0')
        return 0;
    w->control = control_new(
        &(struct control_options){
            .base = w->base,
            .config = w->config,
            .models = &w->models,
            .route = w->route,
            .desk = w->desk,
            .hints = w->hints,
            .pacer = w->pacer,
            .metrics = w->metrics,
            .max_connections = w->http_connections,
            .max_bytes_at_once = (size_t)w->budget.http_bytes,
            .version = HEADGATE_VERSION,
            .is_ready = worker_is_ready,
            .set_gauges = worker_set_gauges,
            .types = types,
            .arg = w,
        },
        err);
    if (w->control != NULL) {
        log_info("HTTP port is open", LOG_STR("address", w->config->http_address),
                 LOG_INT("port", control_port(w->control)));
        return 0;
    }
    if (!w->config->http_is_default || err->kind != ERROR_UNREACHABLE)
        return -1;
    log_warn(
        "the default HTTP port is in use: this worker runs without one; HEADGATE_HTTP=addr:port "
        "chooses another",
        LOG_STR("error", err->message));
    return 0;
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    systemd_tell("WATCHDOG=1");
}

static void
open_watchdog(struct worker *w)
{
    struct timeval every = clock_timeval(systemd_watchdog_ms());

    w->watchdog = event_new(w->base, -1, EV_PERSIST, on_watchdog, w);
    if (systemd_watchdog_ms() > 0)
        event_add(w->watchdog, &every);
}

/* -1: a signal can't be watched for, and a worker that is deaf to SIGTERM can't drain. */
static int
open_signals(struct worker *w)
{
    int result = 0;

    for (int i = 0; i < WORKER_SIGNALS; i++) {
        w->signals[i] = evsignal_new(w->base, handled_signals[i], on_signal, w);
        if (event_add(w->signals[i], NULL) != 0)
            result = -1;
    }
    w->drain_end = evtimer_new(w->base, worker_on_drain_end, w);
    w->gate_timer = evtimer_new(w->base, worker_on_gate_timer, w);
    open_watchdog(w);
    return result;
}

/* It ends anyway: a late SIGTERM must not make that look like a failure. */
static void
ignore_late_signals(void)
{
    sigset_t late;

    sigemptyset(&late);
    for (int i = 0; i < WORKER_SIGNALS; i++)
        sigaddset(&late, handled_signals[i]);
    sigprocmask(SIG_BLOCK, &late, NULL);
}

static void
free_settings(struct worker *w)
{
    model_list_release(&w->models);
    job_types_drop(w->types);
    tenants_release(&w->tenants);
}

/* The connections go first: after them no callback comes any more. */
static void
close_rooms(struct worker *w)
{
    control_free(w->control);
    worker_abandon_all(w, false);
    intake_free(w->intake);
    redis_free(w->notices);
    redis_route_free(w->route);
    for (int i = 0; i < w->config->queue_count; i++) {
        beat_free(w->beats[i]);
        queue_free(w->queues[i]);
    }
    celery_node_free(w->node);
    celery_free(w->celery);
    http_client_free(w->http);
    hints_free(w->hints);
    pacer_free(w->pacer);
    desk_free(w->desk);
    metrics_free(w->metrics);
    bedrock_free(w->bedrock);
    free_settings(w);
    for (int i = 0; i < WORKER_SIGNALS; i++)
        event_free(w->signals[i]);
    event_free(w->drain_end);
    event_free(w->gate_timer);
    event_free(w->watchdog);
    event_base_free(w->base);
}

int
worker_run(struct config *config)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    struct error error = {0};
    bool hears_signals;
    int exit_code;

    w->config = config;
    name_worker(w);
    share_descriptors(w);
    if (open_models(w, &error) < 0) {
        log_error("configuration", LOG_STR("error", error.message));
        free_settings(w);
        celery_free(w->celery);
        free(w);
        return EXIT_USAGE;
    }
    w->base = event_base_new();
    hears_signals = open_signals(w) == 0;
    open_rooms(w);
    if (!hears_signals) {
        log_error("signals can't be watched for: this worker stops");
        w->exit_code = EXIT_SOFTWARE;
    } else if (open_control(w, &error) < 0) {
        log_error("HEADGATE_HTTP can't be used: name another address:port, or off",
                  LOG_STR("value", config->http), LOG_STR("error", error.message));
        w->exit_code = EXIT_USAGE;
    } else {
        log_start(w);
        systemd_tell("READY=1");
        memory_forget_startup();
        event_base_dispatch(w->base);
        log_info("worker stops", LOG_STR("worker", w->id));
    }
    exit_code = w->exit_code;
    ignore_late_signals();
    close_rooms(w);
    free(w);
    return exit_code;
}
