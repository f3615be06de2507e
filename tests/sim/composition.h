/*
 * composition.h - what the model says: texts made from the prompt by dice. Pure.
 *
 * Equal dice and prompts give equal texts.
 */
#ifndef SIM_COMPOSITION_H
#define SIM_COMPOSITION_H

#include <event2/buffer.h>
#include <stdint.h>

/* Appends {"feedback_items":[...]}: 2-5 items that quote the section in `prompt` (what stands
 * between <section> and </section>, else all of it). About one in three items, but
 * never the first, has a confidence below 0.8; one answer in four stands in code fences. */
void compose_feedback(const char *prompt, uint64_t dice, struct evbuffer *out);
/* Appends a plain sentence. */
void compose_sentence(const char *prompt, uint64_t dice, struct evbuffer *out);

#endif
