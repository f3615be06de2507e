/*
 * feedback_item.h - one item of feedback: what the model wrote, made regular. Pure.
 *
 * Not for other rooms: they use feedback.h.
 */
#ifndef WORKER_JOB_FEEDBACK_ITEM_H
#define WORKER_JOB_FEEDBACK_ITEM_H

#include "common/json/json.h"

/* The fields an item always has, in the order in which they are printed. */
enum item_field {
    ITEM_ID,
    ITEM_TYPE,
    ITEM_CATEGORY,
    ITEM_DESCRIPTION,
    ITEM_SUGGESTION,
    ITEM_EXAMPLE,
    ITEM_QUESTIONS,
    ITEM_REFS,
    ITEM_RISK_LEVEL,
    ITEM_CONFIDENCE,
    ITEM_FIELD_COUNT,
};

struct feedback_item {
    struct json_slice object;                   /* borrowed, as the fields are */
    struct json_slice fields[ITEM_FIELD_COUNT]; /* as written; absent: missing or null */
    int position;                               /* in the answer, from 1 */
    double confidence;                          /* 0-1 */
    uint64_t fingerprint;                       /* equal for duplicates */
    bool has_unknown;                           /* the model has put in more */
};

/* Reads the `position`th entry of the answer's list. Returns false when it is no item: no object,
 * or neither a description nor a suggestion in it. */
bool feedback_item_init(struct feedback_item *item, struct json_slice value, int position);
/* Appends it as one JSON object: known fields first, then what else the model has put in. */
void feedback_item_print(const struct feedback_item *item, struct evbuffer *out);

#endif
