/*
 * answer.h - finding the JSON in what a model said. Pure.
 *
 * Models put code fences around their JSON, greet before it, explain after it, wrap it once
 * more or leave the outer object away. Time is linear in the answer, whatever stands in it.
 */
#ifndef WORKER_JOB_ANSWER_H
#define WORKER_JOB_ANSWER_H

#include "common/json/json.h"

/* Finds the list of feedback items: the `feedback_items` array of an object, or else an array
 * of such items. Tried in this order: the whole answer, what stands in code fences, then from
 * each opening bracket on. Every candidate has to pass json_check. */
bool answer_find_items(const char *text, size_t len, struct json_slice *items);

/* Takes the blanks off both ends. */
void answer_trim(const char **text, size_t *len);

#endif
