#include "core/state.h"

#include <stdio.h>
#include <string.h>

#include "core/arena.h"

pawl_extent pawl_extent_vector(int64_t first, int64_t count)
{
    return (pawl_extent){.first = first, .count = count, .role = PAWL_ROLE_VECTOR, .rows = count};
}

pawl_extent pawl_extent_matrix(int64_t first, int64_t rows, int64_t cols)
{
    return (pawl_extent){.first = first,
                         .count = rows * cols,
                         .decays = 1,
                         .role = PAWL_ROLE_MATRIX,
                         .rows = rows,
                         .cols = cols};
}

pawl_status pawl_state_append(pawl_state *s, const pawl_named *item)
{
    PAWL_TRY(pawl_state_add(s, "", item->name, item->tensor));
    s->items[s->count - 1] = *item;
    return PAWL_OK;
}

pawl_status pawl_state_add(pawl_state *s, const char *prefix, const char *name, pawl_tensor t)
{
    if (s->count == s->room) {
        int room = s->room ? 2 * s->room : 64;
        PAWL_TRY(pawl_realloc((void **)&s->items, (size_t)room * sizeof *s->items, "a list of tensors"));
        s->room = room;
    }
    pawl_named *item = &s->items[s->count];
    int n = snprintf(item->name, sizeof item->name, "%s%s", prefix, name);
    PAWL_CHECK(n >= 0 && n < PAWL_NAME_MAX, PAWL_EBUG, "tensor name %s%s is longer than %d bytes", prefix, name, PAWL_NAME_MAX);
    item->tensor = t;
    item->frozen = 0;
    item->sharded = 0;
    item->device = NULL;
    item->first = 0;
    item->count = pawl_tensor_count(t);
    s->count++;
    return PAWL_OK;
}

pawl_named *pawl_state_find(const pawl_state *s, const char *name)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->items[i].name, name) == 0) return &s->items[i];
    return NULL;
}

size_t pawl_state_bytes(const pawl_state *s)
{
    size_t bytes = 0;
    for (int i = 0; i < s->count; i++) bytes += pawl_tensor_bytes(s->items[i].tensor);
    return bytes;
}

void pawl_state_close(pawl_state *s)
{
    pawl_free(s->items);
    memset(s, 0, sizeof *s);
}
