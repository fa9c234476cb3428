#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/span.h"

static int site_id(const char *file, int line)
{
    uint32_t h = 2166136261u ^ (uint32_t)line; /* FNV-1a */
    for (; *file; file++) h = (h ^ (uint8_t)*file) * 16777619u;
    return (int)(h & 0x7fffffffu);
}

/* Where MPI itself failed the only way left is out. So it is where a GPU may have broken with messages on it: the others' GPUs wait for those,
 * their hosts for their GPUs, and nobody would come to a meeting. */
static int no_way_back(const pawl_comm *c, pawl_status mine)
{
    return mine == PAWL_ECOMM || (mine == PAWL_EBUG && c->gpus);
}

static pawl_status agree_at(pawl_comm *c, pawl_status mine, int site, const char *file, int line)
{
    if (mine != PAWL_OK && pawl_last_error()->rank < 0) pawl_last_error()->rank = c->rank;
    if (no_way_back(c, mine)) return mine;
    if (c->size == 1) return mine == PAWL_OK ? PAWL_OK : pawl_trail_(mine, file, line);

    struct { int value, rank; } got[3], put[3] = {{(int)mine, c->rank}, {site, c->rank}, {-site, c->rank}};
    const int span = pawl_span_begin_wait("agreement");
    const int code = MPI_Allreduce(put, got, 3, MPI_2INT, MPI_MAXLOC, pawl_mpi(c));
    pawl_span_end(span);
    PAWL_TRY(pawl_mpi_status(code, "MPI_Allreduce"));
    c->bytes_sent += sizeof put;
    if (got[1].value != -got[2].value) {
        (void)PAWL_FAIL(PAWL_EBUG, "ranks %d and %d reached different collective calls", got[1].rank, got[2].rank);
        pawl_last_error()->agreed = 1; /* all computed it alike */
        return pawl_trail_(PAWL_EBUG, file, line);
    }
    if (got[0].value == PAWL_OK) return PAWL_OK;

    pawl_error e = *pawl_last_error();
    PAWL_TRY(pawl_mpi_status(MPI_Bcast(&e, (int)sizeof e, MPI_BYTE, got[0].rank, pawl_mpi(c)), "MPI_Bcast"));
    e.agreed = 1;
    pawl_adopt_error(&e);
    return pawl_trail_(e.code, file, line);
}

pawl_status pawl_agree_(pawl_comm *c, pawl_status mine, const char *file, int line)
{
    return agree_at(c, mine, site_id(file, line), file, line);
}

pawl_status pawl_meet_(pawl_comm *c, pawl_status mine, const char *file, int line)
{
    if (mine != PAWL_OK && pawl_last_error()->agreed) return pawl_trail_(mine, file, line);
    /* By MPI, too: what broke may have broken inside an exchange, and others wait for what this rank was to send. */
    if (mine == PAWL_EBUG && pawl_last_error()->rank < 0) pawl_last_error()->rank = c->rank;
    if (mine == PAWL_EBUG) return pawl_trail_(mine, file, line);
    return agree_at(c, mine, site_id("a meeting", 0), file, line);
}
