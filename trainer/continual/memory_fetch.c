/* Rows on their way from who keeps them to who uses them, in an order that all ranks know. */
#include "trainer/continual/memory_inner.h"

#include <string.h>

/* A row's bytes of a part in this rank's store. */
static const char *here(const pawl_memory *m, int part, int64_t item)
{
    int64_t first, end;
    pawl_memory_range(m, &m->index, part, &first, &end);
    return pawl_store_part(&m->store, part) + (m->index.at[part][item] - first);
}

static void point_at_own(const pawl_memory *m, int64_t item, pawl_on_way *w)
{
    for (int p = 0; p < m->parts; p++) w->data[p] = here(m, p, item);
}

static void point_at_hand(const pawl_memory *m, int64_t item, char *to, pawl_on_way *w)
{
    for (int p = 0; p < m->parts; p++) {
        w->data[p] = to;
        to += (m->index.at[p][item + 1] - m->index.at[p][item] + 7) / 8 * 8;
    }
}

static int list_transfers(pawl_memory *m, const pawl_wanted *wanted, int owner, int64_t place, int count)
{
    const int64_t item = wanted->item;
    const int mine = owner == m->in.comm->rank;
    for (int p = 0; p < m->parts; p++) {
        const size_t bytes = (size_t)(m->index.at[p][item + 1] - m->index.at[p][item]);
        const char *data = mine ? here(m, p, item) : m->fetched[place].data[p];
        if (bytes == 0) continue;
        m->transfers[count++] = (pawl_transfer){.data = (void *)(uintptr_t)data, .bytes = bytes, .from = owner, .to = wanted->to};
    }
    return count;
}

pawl_status pawl_memory_fetch(pawl_memory *m, const pawl_wanted *list, int64_t count)
{
    const int rank = m->in.comm->rank;
    int64_t slots = 0;
    int transfers = 0;
    PAWL_ASSERT(count <= m->most_all);
    for (int64_t i = 0; i < count; i++) {
        const int owner = pawl_memory_owner(m, list[i].item);
        m->fetched[i] = (pawl_on_way){.item = list[i].item};
        if (list[i].to == rank && owner == rank) point_at_own(m, list[i].item, &m->fetched[i]);
        else if (list[i].to == rank) {
            PAWL_ASSERT(slots < m->most_here);
            point_at_hand(m, list[i].item, m->hand + slots++ * m->index.row_bytes, &m->fetched[i]);
        }
        if (owner != list[i].to && (owner == rank || list[i].to == rank))
            transfers = list_transfers(m, &list[i], owner, i, transfers);
    }
    return pawl_transfers(m->in.comm, m->transfers, transfers);
}

static pawl_row_tokens tokens_of(const pawl_memory *m, const pawl_on_way *w)
{
    return (pawl_row_tokens){.tokens = w->data[PAWL_PART_TOKENS],
                             .trained = (const uint8_t *)w->data[PAWL_PART_TRAINED],
                             .segments = w->data[PAWL_PART_SEGMENTS] + PAWL_SEGMENT_TOKENS * sizeof(int64_t),
                             .segment_count = m->index.rows[w->item].segments,
                             .segment_step = sizeof(pawl_kept_segment),
                             .wide = m->in.wide};
}

pawl_row_tokens pawl_memory_row(const pawl_memory *m, int64_t place)
{
    PAWL_ASSERT(m->fetched[place].data[PAWL_PART_TOKENS]);
    return tokens_of(m, &m->fetched[place]);
}

const void *pawl_memory_payload(const pawl_memory *m, int64_t place, int column)
{
    return m->fetched[place].data[PAWL_PART_COLUMNS + column];
}

pawl_row_tokens pawl_memory_own_row(const pawl_memory *m, int64_t item)
{
    pawl_on_way w = {.item = item};
    PAWL_ASSERT(pawl_memory_owner(m, item) == m->in.comm->rank);
    point_at_own(m, item, &w);
    return tokens_of(m, &w);
}

pawl_status pawl_memory_put(pawl_memory *m, int64_t item, int column, const void *numbers)
{
    const int part = PAWL_PART_COLUMNS + column;
    int64_t first, end;
    PAWL_ASSERT(pawl_memory_owner(m, item) == m->in.comm->rank);
    pawl_memory_range(m, &m->index, part, &first, &end);
    return pawl_store_write(&m->store, part, (size_t)(m->index.at[part][item] - first), numbers,
                            (size_t)(m->index.at[part][item + 1] - m->index.at[part][item]));
}
