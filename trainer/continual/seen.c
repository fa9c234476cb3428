/* Rows of the data on offer to the memory: those that a stage has shown, out of this rank's mapped files. */
#include "trainer/continual/memory.h"

static const char *domain(const void *of, int group)
{
    return pawl_data_domain(((const pawl_seen *)of)->data, PAWL_TRAIN, group);
}

static const char *license(const void *of, int group)
{
    return pawl_data_license(((const pawl_seen *)of)->data, group);
}

static const json_t *source(const void *of, int group, int32_t file)
{
    return pawl_data_source(((const pawl_seen *)of)->data, group, file);
}

static int64_t rows(const void *of, int group)
{
    return pawl_data_rows_of(((const pawl_seen *)of)->data, PAWL_TRAIN, group);
}

static int offered(const void *of, pawl_row r, double *loss)
{
    const pawl_seen *s = of;
    return s->was_seen(s->self, r.domain, r.index, loss);
}

static void facts(const void *of, pawl_row r, pawl_kept *out)
{
    const pawl_data *d = ((const pawl_seen *)of)->data;
    out->tokens = pawl_row_length(d, PAWL_TRAIN, r);
    out->trained = pawl_row_trained(d, PAWL_TRAIN, r);
    out->bytes = pawl_row_bytes(d, PAWL_TRAIN, r);
    out->segments = pawl_row_segments(d, PAWL_TRAIN, r);
}

static pawl_provenance segment(const void *of, pawl_row r, int64_t k)
{
    return pawl_row_provenance(((const pawl_seen *)of)->data, PAWL_TRAIN, r, k);
}

static void copy(const void *of, pawl_row r, void *tokens, uint8_t *trained)
{
    pawl_row_copy(((const pawl_seen *)of)->data, PAWL_TRAIN, r, tokens, trained);
}

pawl_status pawl_memory_absorb(pawl_memory *m, const pawl_seen *seen)
{
    static const pawl_rows_kind kind = {domain, license, source, rows, offered, facts, segment, copy};
    const pawl_offer offer = {&kind, seen, seen->first, seen->end};
    return pawl_memory_take(m, &offer);
}
