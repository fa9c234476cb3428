#include "comm/pieces.h"

#include <string.h>

#include "comm/nccl.h"
#include "core/span.h"

int64_t pawl_piece_count(int64_t senders, int64_t longest)
{
    int64_t n = senders > 0 ? PAWL_INBOX_COUNT / senders / PAWL_PIECE_LEAST * PAWL_PIECE_LEAST : PAWL_PIECE_COUNT;
    if (n > PAWL_PIECE_COUNT) n = PAWL_PIECE_COUNT;
    if (n < PAWL_PIECE_LEAST) n = PAWL_PIECE_LEAST;
    return n < longest ? n : longest;
}

static int by_nccl(const pawl_posted *p)
{
    return p->comm->gpus && !pawl_device_shares_memory(p->device);
}

void pawl_posted_lay_out(pawl_posted *p, pawl_arena *a, int64_t room, int64_t numbers)
{
    p->room = (int)room;
    if (by_nccl(p)) {
        p->messages = pawl_take_bytes(a, (size_t)room * sizeof *p->messages);
        return;
    }
    p->requests = pawl_take_bytes(a, (size_t)room * sizeof(MPI_Request));
    if (pawl_device_shares_memory(p->device)) return;
    p->landings = pawl_take_bytes(a, (size_t)room * sizeof *p->landings);
    p->staged_room = numbers;
    p->staged = pawl_take_bytes(a, (size_t)numbers * sizeof *p->staged);
}

static float *stage(pawl_posted *p, int64_t count)
{
    PAWL_ASSERT(p->staged_count + count <= p->staged_room);
    p->staged_count += count;
    return p->staged + (p->staged_count - count);
}

static pawl_status bring_down(pawl_posted *p, const float *data, int64_t count, const float **here)
{
    *here = data;
    if (pawl_device_shares_memory(p->device)) return PAWL_OK;
    if (p->sent != data || p->sent_count != count) {
        float *to = stage(p, count);
        PAWL_TRY(pawl_download(p->device, to, data, (size_t)count * sizeof *to));
        p->sent = data;
        p->sent_here = to;
        p->sent_count = count;
    }
    *here = p->sent_here;
    return PAWL_OK;
}

static float *landing(pawl_posted *p, float *there, int64_t count)
{
    if (pawl_device_shares_memory(p->device)) return there;
    float *here = stage(p, count);
    p->landings[p->landing_count++] = (struct pawl_landing){there, here, count};
    return here;
}

/* What has come goes to where it was wanted. */
static pawl_status take_up(pawl_posted *p)
{
    const int n = p->landing_count;
    p->landing_count = 0;
    p->staged_count = 0;
    p->sent = NULL;
    for (int i = 0; i < n; i++) {
        const struct pawl_landing *l = &p->landings[i];
        PAWL_TRY(pawl_upload(p->device, l->there, l->here, (size_t)l->count * sizeof *l->here));
    }
    return PAWL_OK;
}

pawl_status pawl_piece_copy(pawl_device *d, float *to, const float *from, int64_t count)
{
    if (!pawl_device_shares_memory(d)) return pawl_copy(d, to, from, count);
    memcpy(to, from, (size_t)count * sizeof *to);
    return PAWL_OK;
}

static pawl_status note(pawl_posted *p, struct pawl_message m)
{
    PAWL_ASSERT(p->count < p->room);
    p->messages[p->count++] = m;
    return PAWL_OK;
}

static pawl_status exchange(pawl_nccl *n, const struct pawl_message *list, int count)
{
    if (!count) return PAWL_OK;
    PAWL_TRY(pawl_nccl_begin(n));
    for (int i = 0; i < count; i++) {
        const struct pawl_message *m = &list[i];
        PAWL_TRY(m->to ? pawl_nccl_receive(n, m->to, m->count, m->peer) : pawl_nccl_send(n, m->from, m->count, m->peer));
    }
    return pawl_nccl_end(n);
}

static MPI_Request *next(pawl_posted *p)
{
    PAWL_ASSERT(p->count < p->room);
    return &p->requests[p->count++];
}

pawl_status pawl_post_receive(pawl_posted *p, float *data, int64_t count, int peer)
{
    if (count <= 0) return PAWL_OK;
    if (by_nccl(p)) return note(p, (struct pawl_message){.to = data, .count = count, .peer = peer});
    return pawl_mpi_status(MPI_Irecv(landing(p, data, count), (int)count, MPI_FLOAT, peer, 0, pawl_mpi(p->comm), next(p)), "MPI_Irecv");
}

pawl_status pawl_post_send(pawl_posted *p, const float *data, int64_t count, int peer)
{
    if (count <= 0) return PAWL_OK;
    if (by_nccl(p)) return note(p, (struct pawl_message){.from = data, .count = count, .peer = peer});
    const float *here;
    PAWL_TRY(bring_down(p, data, count, &here));
    p->comm->bytes_sent += (uint64_t)count * sizeof(float);
    return pawl_mpi_status(MPI_Isend(here, (int)count, MPI_FLOAT, peer, 0, pawl_mpi(p->comm), next(p)), "MPI_Isend");
}

pawl_status pawl_posted_wait(pawl_posted *p)
{
    const int n = p->count;
    p->count = 0;
    if (!n) return PAWL_OK;
    if (by_nccl(p)) return exchange(p->comm->gpus, p->messages, n);
    const int span = pawl_span_begin("exchange"), code = MPI_Waitall(n, p->requests, MPI_STATUSES_IGNORE);
    pawl_span_end(span);
    PAWL_TRY(pawl_mpi_status(code, "MPI_Waitall"));
    return take_up(p);
}

pawl_status pawl_tree_sum(pawl_device *d, pawl_node of, const pawl_summed *have, int have_count, int64_t count,
                          float **sum)
{
    float *right;
    *sum = NULL;
    for (int i = 0; i < have_count; i++)
        if (have[i].node.first == of.first && have[i].node.end == of.end) *sum = have[i].at;
    if (*sum || of.end - of.first < 2) return PAWL_OK;
    const int split = pawl_node_split(of);
    PAWL_TRY(pawl_tree_sum(d, (pawl_node){of.first, split}, have, have_count, count, sum));
    PAWL_TRY(pawl_tree_sum(d, (pawl_node){split, of.end}, have, have_count, count, &right));
    if (*sum && right) return pawl_add(d, *sum, right, count);
    if (right) *sum = right;
    return PAWL_OK;
}
