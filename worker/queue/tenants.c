#include "worker/queue/tenants.h"

#include "common/memory.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MEMBER(m) .offset = offsetof(struct tenant, m)

static const struct config_field fields[] = {
    {"weight", config_field_number, MEMBER(weight), .low = 0.01, .high = 1000},
    {"max_in_flight", config_field_whole, MEMBER(max_in_flight), .low = 0, .high = 1000000},
    {0},
};

static int
compare_tenants(const void *a, const void *b)
{
    const struct tenant *left = a, *right = b;

    return strcmp(left->name, right->name);
}

static int
read_tenant(struct tenants *tenants, struct json_slice key, const struct config_part *part,
            struct error *err)
{
    const struct config_part name = {.file = part->file, .value = key, .path = "a tenant's name"};
    struct tenant tenant = {.weight = 1};

    if (config_part_expect(part, JSON_OBJECT, err) != 0 ||
        config_part_read(part, fields, &tenant, err) != 0)
        return -1;
    if (json_equals(key, "*")) {
        tenant.name = tenants->others.name;
        tenants->others = tenant;
        return 0;
    }
    tenant.name = config_part_text(&name, TENANT_NAME_MAX);
    if (tenant.name == NULL)
        return config_part_refuse(&name, err, "1 to %d bytes without control bytes",
                                  TENANT_NAME_MAX);
    tenants->named[tenants->count++] = tenant;
    return 0;
}

int
tenants_init(struct tenants *tenants, const struct config_part *section, struct error *err)
{
    struct config_part part;
    struct json_slice key;
    int result = config_part_expect(section, JSON_OBJECT, err);

    *tenants = (struct tenants){.others = {.name = xstrdup("*"), .weight = 1}};
    tenants->named = xcalloc(CONFIG_NAMES_MAX, sizeof(*tenants->named));
    for (struct config_iter it = config_iter(section);
         result == 0 && config_next(&it, &key, &part);)
        result = read_tenant(tenants, key, &part, err);
    qsort(tenants->named, (size_t)tenants->count, sizeof(*tenants->named), compare_tenants);
    if (result != 0)
        tenants_release(tenants);
    return result;
}

void
tenants_release(struct tenants *tenants)
{
    for (int i = 0; i < tenants->count; i++)
        free(tenants->named[i].name);
    free(tenants->named);
    free(tenants->others.name);
    *tenants = (struct tenants){0};
}

const struct tenant *
tenants_find(const struct tenants *tenants, const char *name)
{
    int low = 0, high = tenants->count;

    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(name, tenants->named[middle].name);

        if (order == 0)
            return &tenants->named[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return &tenants->others;
}

bool
tenants_have_limit(const struct tenants *tenants)
{
    bool has_limit = tenants->others.max_in_flight > 0;

    for (int i = 0; i < tenants->count; i++)
        has_limit = has_limit || tenants->named[i].max_in_flight > 0;
    return has_limit;
}

static void
put_tenant(const struct tenant *tenant, struct evbuffer *out)
{
    evbuffer_add_printf(out, "%s", evbuffer_get_length(out) == 0 ? "{" : ",");
    json_put_string(out, tenant->name, strlen(tenant->name));
    evbuffer_add_printf(out, ":[%.17g,%" PRId64 "]", tenant->weight, tenant->max_in_flight);
}

void
tenants_put_json(const struct tenants *tenants, struct evbuffer *out)
{
    if (tenants->count == 0 && tenants->others.weight == 1 && tenants->others.max_in_flight == 0)
        return;
    for (int i = 0; i < tenants->count; i++)
        put_tenant(&tenants->named[i], out);
    put_tenant(&tenants->others, out);
    evbuffer_add_printf(out, "}");
}
