/* What a save copies before it writes: by the host at once, or beside what a device is asked for next. */
#include "checkpoints/saver.h"

/* How a tensor is copied; in the order of the list of loads. */
typedef enum copied { BY_HOST, FROM_DEVICE, FROM_OFFLOADED } copied;

static copied kind_of(const pawl_saver *s, const pawl_stored *t)
{
    if (!pawl_device_shares_memory(t->item.device)) return FROM_DEVICE;
    return t->item.offloaded && s->device ? FROM_OFFLOADED : BY_HOST;
}

static pawl_status find_device(pawl_saver *s)
{
    for (int i = 0; i < s->count; i++) {
        pawl_device *d = s->tensors[i].item.device;
        if (s->tensors[i].item.frozen || pawl_device_shares_memory(d)) continue;
        PAWL_CHECK(!s->device || s->device == d, PAWL_EBUG, "tensor %s is on another device than others that are saved",
                   s->tensors[i].item.name);
        s->device = d;
    }
    return PAWL_OK;
}

/* What lies side by side on both sides is one load. Without a list it counts. */
static void add_load(pawl_saver *s, pawl_load *last, pawl_load next)
{
    const int joins = last->bytes > 0 && (char *)last->to + last->bytes == next.to &&
                      (const char *)last->from + last->bytes == next.from;
    if (joins)
        next = (pawl_load){last->to, last->from, last->bytes + next.bytes};
    else
        s->load_count++;
    if (s->loads) s->loads[s->load_count - 1] = next;
    *last = next;
}

static void list_kind(pawl_saver *s, copied kind)
{
    char *to = s->snapshot.base;
    pawl_load last = {0};
    for (int i = 0; i < s->count; i++) {
        const pawl_stored *t = &s->tensors[i];
        for (int64_t c = 0; c < t->chunk_count && !t->item.frozen; c++) {
            if (!pawl_share_has(&s->changing, t, c)) continue;
            const pawl_held part = pawl_held_of_chunk(t, c);
            const char *from = (const char *)t->item.tensor.data + (part.first - pawl_held_of(&t->item).first);
            if (part.first < part.end && kind_of(s, t) == kind)
                add_load(s, &last,
                         (pawl_load){to + (part.first - c * PAWL_CHUNK_BYTES), from, (size_t)(part.end - part.first)});
            to += pawl_stored_chunk_bytes(t, c);
        }
    }
}

static void list_all(pawl_saver *s)
{
    s->load_count = 0;
    list_kind(s, BY_HOST);
    s->from_device = s->load_count;
    list_kind(s, FROM_DEVICE);
    s->from_offloaded = s->load_count;
    list_kind(s, FROM_OFFLOADED);
}

pawl_status pawl_snapshot_plan(pawl_saver *s)
{
    PAWL_TRY(find_device(s));
    list_all(s);
    PAWL_TRY(
        pawl_alloc((void **)&s->loads, (size_t)s->load_count * sizeof *s->loads, "the list of what a save copies"));
    list_all(s);
    return PAWL_OK;
}

pawl_status pawl_snapshot_take(pawl_saver *s)
{
    for (int64_t i = 0; i < s->from_device; i++)
        PAWL_TRY(pawl_download(NULL, s->loads[i].to, s->loads[i].from, s->loads[i].bytes));
    return pawl_snapshot_begin(s->device, s->loads + s->from_device, s->load_count - s->from_device,
                               s->from_offloaded - s->from_device);
}

pawl_status pawl_snapshot_whole(pawl_saver *s)
{
    return pawl_snapshot_settle(s->device);
}
