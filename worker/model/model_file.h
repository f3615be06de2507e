/*
 * model_file.h - the models as the environment names them and the configuration file describes
 * them.
 *
 * Section "models" is an array, the primary first:
 *     {"name": "bedrock/ID", "display": "...", "rpm": 50, "tpm": 200000, "timeout": 60,
 *      "price": {"input": 3, "output": 15}, "base_url": "https://...", "api_key_env": "NAME"}
 * When the environment names the models, it only describes; else it is the list. A model that is
 * described and not in the list is for jobs that name it.
 */
#ifndef WORKER_MODEL_MODEL_FILE_H
#define WORKER_MODEL_MODEL_FILE_H

#include "common/config.h"
#include "worker/model/model.h"

/* The configured models, described; ERROR_CONFIG names the setting. No model at all is no failure:
 * the count is 0 then. model_list_release is due only after success. */
int model_list_load(struct model_list *list, const struct config *config,
                    struct error *err) WARN_UNUSED;

/* For a reload, in two steps, so that nothing changes unless all sections are good. Reads what a
 * file says of models; model_list_release is due only after success. */
int model_notes_read(struct model_list *notes, const struct config *config,
                     const struct config_file *file, struct error *err) WARN_UNUSED;
/* Takes the notes (which are empty then): they describe the models of the list from now on. Which
 * models are in the list does not change. */
void model_list_take_notes(struct model_list *list, struct model_list *notes);

#endif
