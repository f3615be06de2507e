#include "tests/sim/account.h"

#include "common/memory.h"

#include <stdlib.h>

struct account_model *
account_model(struct account *account, const char *id)
{
    struct account_model *model;

    HASH_FIND_STR(account->models, id, model);
    if (model != NULL)
        return model;
    if (HASH_COUNT(account->models) >= ACCOUNT_MODELS_MAX || strlen(id) > ACCOUNT_ID_BYTES_MAX)
        return NULL;
    model = xcalloc(1, sizeof(*model));
    model->id = xstrdup(id);
    HASH_ADD_KEYPTR(hh, account->models, model->id, strlen(model->id), model);
    return model;
}

const struct fault *
account_next_fault(struct account *account, struct account_model *model)
{
    const struct fault *own = script_next(&model->script);

    return own != NULL ? own : script_next(&account->any_script);
}

void
account_call_begins(struct account *account, struct account_model *model)
{
    account->calls++;
    model->tally.calls++;
    if (++account->open > account->max_open)
        account->max_open = account->open;
}

void
account_call_ends(struct account *account, int64_t *count)
{
    account->open--;
    ++*count;
}

void
account_reset(struct account *account, int64_t now_ms)
{
    for (struct account_model *model = account->models; model != NULL; model = model->hh.next) {
        model->tally = (struct tally){0};
        script_clear(&model->script);
        quota_fill(&model->rpm, now_ms);
        quota_fill(&model->tpm, now_ms);
    }
    script_clear(&account->any_script);
    account->calls = account->max_open = account->open;
}

void
account_release(struct account *account)
{
    struct account_model *model, *next;

    HASH_ITER(hh, account->models, model, next)
    {
        HASH_DEL(account->models, model);
        script_clear(&model->script);
        free(model->id);
        free(model);
    }
    script_clear(&account->any_script);
}
