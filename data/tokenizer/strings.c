#include "data/tokenizer/strings.h"

#include "core/arena.h"

static uint32_t *slot_of(const pawl_strings *s, const char *text, size_t bytes)
{
    uint64_t at = pawl_hash_bytes(text, bytes) & s->mask;
    while (s->slots[at]) {
        const struct pawl_string *i = &s->items[s->slots[at] - 1];
        if (i->bytes == bytes && memcmp(s->text + i->from, text, bytes) == 0) break;
        at = (at + 1) & s->mask;
    }
    return &s->slots[at];
}

static pawl_status grow_slots(pawl_strings *s)
{
    const uint64_t slots = s->slots ? 2 * (s->mask + 1) : 1024;
    uint32_t *old = s->slots;
    PAWL_TRY(pawl_alloc((void **)&s->slots, slots * sizeof *s->slots, "a table of tokens"));
    pawl_free(old);
    s->mask = slots - 1;
    for (int32_t id = 0; id < s->size; id++) {
        const struct pawl_string *i = &s->items[id];
        uint32_t *slot = i->taken ? slot_of(s, s->text + i->from, i->bytes) : NULL;
        if (slot && !*slot) *slot = (uint32_t)id + 1;
    }
    return PAWL_OK;
}

static pawl_status make_room(pawl_strings *s, int32_t id, size_t bytes)
{
    if (id >= s->items_room) {
        const int32_t room = id + id / 2 + 1024;
        PAWL_TRY(pawl_realloc((void **)&s->items, (size_t)room * sizeof *s->items, "a table of tokens"));
        s->items_room = room;
    }
    if (id >= s->size) memset(s->items + s->size, 0, (size_t)(id + 1 - s->size) * sizeof *s->items);
    if (id >= s->size) s->size = id + 1;
    if (s->bytes + bytes + 1 > s->room) {
        const size_t room = 2 * (s->bytes + bytes) + 4096;
        PAWL_TRY(pawl_realloc((void **)&s->text, room, "the texts of tokens"));
        s->room = room;
    }
    return PAWL_OK;
}

pawl_status pawl_strings_add(pawl_strings *s, int32_t id, const char *text, size_t bytes)
{
    PAWL_TRY(make_room(s, id, bytes));
    if (!s->slots || 2 * (uint64_t)(s->count + 1) > s->mask) PAWL_TRY(grow_slots(s));
    s->items[id] = (struct pawl_string){s->bytes, (uint32_t)bytes, 1};
    memcpy(s->text + s->bytes, text, bytes);
    s->text[s->bytes + bytes] = 0;
    s->bytes += bytes + 1;
    s->count++;
    uint32_t *slot = slot_of(s, text, bytes);
    if (!*slot) *slot = (uint32_t)id + 1;
    return PAWL_OK;
}

int32_t pawl_strings_find(const pawl_strings *s, const char *text, size_t bytes)
{
    return s->slots ? (int32_t)*slot_of(s, text, bytes) - 1 : -1;
}

const char *pawl_strings_text(const pawl_strings *s, int32_t id, size_t *bytes)
{
    if (id < 0 || id >= s->size || !s->items[id].taken) return NULL;
    if (bytes) *bytes = s->items[id].bytes;
    return s->text + s->items[id].from;
}

void pawl_strings_close(pawl_strings *s)
{
    pawl_free(s->text);
    pawl_free(s->items);
    pawl_free(s->slots);
    memset(s, 0, sizeof *s);
}
