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

/* Finds the JSON object or array that is the answer: the whole of it, else what stands in code
 * fences, else the longest of those in the text ("see [1]" holds an array too). Only kinds that are
 * `wanted`, bits of ANSWER_*. */
enum { ANSWER_OBJECT = 1, ANSWER_ARRAY = 2 };
bool answer_find_json(const char *text, size_t len, unsigned wanted, struct json_slice *json);

/* Takes the blanks off both ends. */
void answer_trim(const char **text, size_t *len);

#endif
