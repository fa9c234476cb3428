#include "comm/pieces.h"

#include "core/span.h"

int64_t pawl_piece_count(int64_t senders, int64_t longest)
{
    int64_t n = senders > 0 ? PAWL_INBOX_COUNT / senders / PAWL_PIECE_LEAST * PAWL_PIECE_LEAST : PAWL_PIECE_COUNT;
    if (n > PAWL_PIECE_COUNT) n = PAWL_PIECE_COUNT;
    if (n < PAWL_PIECE_LEAST) n = PAWL_PIECE_LEAST;
    return n < longest ? n : longest;
}

void pawl_posted_lay_out(pawl_posted *p, pawl_arena *a, int64_t room)
{
    p->room = (int)room;
    p->requests = pawl_take_bytes(a, (size_t)room * sizeof(MPI_Request));
}

static MPI_Request *next(pawl_posted *p)
{
    PAWL_ASSERT(p->count < p->room);
    return &p->requests[p->count++];
}

pawl_status pawl_post_receive(pawl_posted *p, float *data, int64_t count, int peer)
{
    if (count <= 0) return PAWL_OK;
    return pawl_mpi_status(MPI_Irecv(data, (int)count, MPI_FLOAT, peer, 0, pawl_mpi(p->comm), next(p)), "MPI_Irecv");
}

pawl_status pawl_post_send(pawl_posted *p, const float *data, int64_t count, int peer)
{
    if (count <= 0) return PAWL_OK;
    p->comm->bytes_sent += (uint64_t)count * sizeof(float);
    return pawl_mpi_status(MPI_Isend(data, (int)count, MPI_FLOAT, peer, 0, pawl_mpi(p->comm), next(p)), "MPI_Isend");
}

pawl_status pawl_posted_wait(pawl_posted *p)
{
    const int n = p->count;
    p->count = 0;
    if (!n) return PAWL_OK;
    const int span = pawl_span_begin("exchange"), code = MPI_Waitall(n, p->requests, MPI_STATUSES_IGNORE);
    pawl_span_end(span);
    return pawl_mpi_status(code, "MPI_Waitall");
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
