/*
 * model_settings.h - one MODEL of the configuration: how it answers and what it lets through.
 */
#ifndef SIM_MODEL_SETTINGS_H
#define SIM_MODEL_SETTINGS_H

#include "tests/sim/settings.h"

void model_settings_init(struct model_settings *model);
void model_settings_copy(struct model_settings *copy, const struct model_settings *model);
void model_settings_release(struct model_settings *model);
/* Puts the members of `value` over `model`; half done when it fails. */
int model_settings_merge(struct model_settings *model, struct json_slice value,
                         struct error *err) WARN_UNUSED;

#endif
