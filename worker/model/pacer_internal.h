/*
 * pacer_internal.h - what the files of this room share: pacer.c (who waits for which model),
 * pacer_turns.c (in which order) and pacer_lane.c (what a lane asks Redis and tells it). Nobody
 * else includes it, but the test of the order.
 */
#ifndef WORKER_MODEL_PACER_INTERNAL_H
#define WORKER_MODEL_PACER_INTERNAL_H

#include "worker/model/pace_local.h"
#include "worker/model/pacer.h"

#include <event2/event.h>
#include <uthash.h>

/* Permits that one question asks for: more would be one burst, unless the model is not limited. */
#define BATCH_MAX      16
#define OPEN_BATCH_MAX 48

#define TURN_TENANTS 1024

/* Whose turn it is. In a round each tenant has one permit, or two if it had none in the round
 * before. Tenants are counted by a part of their number: few share one. */
struct lane_turns {
    int64_t round;
    int given;                                       /* permits of this round */
    uint8_t had[TURN_TENANTS], before[TURN_TENANTS]; /* of each tenant, and in the round before */
    int waiting[TURN_TENANTS];                       /* jobs of each tenant */
    uint32_t last;                                   /* who joined last ... */
    int64_t mixed_ms; /* ... and when it was another one than before; monotonic; 0: never */
};

/* Who waits for a model, and what is known of its permits. */
struct lane {
    struct pacer *pacer;
    char *name;
    char *key, *tokens_key;
    double limits[2];         /* its rpm and tpm, as configured; 0: not */
    char limit_text[2][32];   /* of a question */
    struct pacer_wait *queue; /* by round */
    int waiting;              /* in the queue */
    struct lane_turns turns;
    bool is_asking;                       /* Redis is asked */
    int asked;                            /* permits it is asked for ... */
    int64_t asked_tokens[OPEN_BATCH_MAX]; /* ... and what is reserved with each */
    bool has_tokens;         /* its tokens are limited, so what was not used is given back */
    int64_t unused;          /* tokens to give back; < 0: more were used than reserved */
    int64_t turned_away_ms;  /* monotonic; somebody went on to another model; 0: not since asked */
    int64_t ready_ms;        /* monotonic; when the next permit should be due */
    int64_t ask_ms;          /* monotonic; when it is worth asking: what is known may change */
    int64_t asked_ms;        /* monotonic; when it was asked last */
    int64_t deaf_ms;         /* monotonic; until then it is not asked: it failed */
    int64_t drained_ms;      /* monotonic; when the queue was empty last */
    double call_ms;          /* what a call takes, smoothed; 0: none succeeded yet */
    double rate;             /* permits a second of the whole cluster; < 0: open */
    struct pace_local local; /* while Redis is out of reach */
    struct event *timer;
    UT_hash_handle hh;
};

struct pacer_wait {
    struct pacer *pacer;
    pacer_fn *fn;
    void *arg;
    int64_t since_ms; /* monotonic */
    int64_t tokens;
    uint32_t tenant;
    int64_t round; /* in which it is served */
    int64_t patience_ms, last_resort_ms;
    struct lane *lane;  /* where it waits; NULL: it is decided */
    int choice;         /* index into lanes; of the decision: -1 for none */
    int64_t room_in_ms; /* of the decision */
    struct pacer_wait *prev, *next;
    int count;
    struct lane *lanes[]; /* best first; NULL: there are too many lanes for one more */
};

struct pacer {
    struct pacer_options options;
    char *prefix;
    struct redis_script script;
    struct lane *lanes; /* by name */
    int64_t full_ms; /* monotonic; when a job last found no room at any of its models; 0: never */
    struct pacer_wait *decided;
    struct event *tell; /* those who are decided */
};

/* pacer.c */
/* NULL only for a job's own model when there are too many of them. */
struct lane *lane_find(struct pacer *pacer, const char *name);
/* Redis can't be asked. */
bool lane_is_blind(const struct lane *lane);
/* Into a lane, or to a decision. */
void wait_place(struct pacer_wait *wait);
/* Out of its lane's queue, to be told or freed. */
void wait_leave(struct pacer_wait *wait);
/* Runs its callback and frees it. */
void wait_tell(struct pacer_wait *wait, struct pacer_permit permit);

/* pacer_turns.c */
/* Tenants take turns: those who have fewer permits of late stand in front, each one's jobs as they
 * came. Where one more job would stand: */
struct lane_place {
    struct pacer_wait *next; /* the one behind it; NULL: it would be the last */
    int64_t round;
    int in_front;  /* so many would be served before it */
    bool has_turn; /* not only after its tenant's jobs that wait here already */
};
struct lane_place lane_place(const struct lane *lane, uint32_t tenant);
/* Into the queue. */
void lane_put(struct lane *lane, struct pacer_wait *wait);
/* It got a permit, and has left. */
void lane_served(struct lane *lane, const struct pacer_wait *wait);
/* How long the lane lets other workers ask first: they may have jobs of tenants whose turn it still
 * is, and here nobody waits but those who had theirs. */
int64_t lane_courtesy_ms(const struct lane *lane, int64_t now);

/* pacer_lane.c */
/* Asks for those who wait, when the next permit is due, and gives back what was not used. */
void lane_ask(struct lane *lane);
void lane_on_due(evutil_socket_t fd, short what, void *lane); /* of lane->timer */

#endif
