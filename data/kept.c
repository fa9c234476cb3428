/* A row by itself: its tokens and where each of its segments came from, to be kept when the data are gone. */
#include <string.h>

#include "data/mixture.h"

int64_t pawl_row_segments(const pawl_data *d, pawl_part part, pawl_row r)
{
    return pawl_row_find(d, part, r).count;
}

/* Chunks of a document overlap by a token, so that each begins one less than its length behind the one before: which one a segment
 * is follows from where it begins. */
static int64_t chunk_of(const pawl_document *doc, int64_t sequence_len, const pawl_segment *s)
{
    const int64_t at = s->tokens_at - doc->tokens_at;
    int64_t first, end, low = 0, high = pawl_segment_count(doc->tokens, sequence_len);
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        pawl_segment_place(doc->tokens, sequence_len, middle, &first, &end);
        if (first <= at) low = middle;
        else high = middle;
    }
    return low;
}

pawl_provenance pawl_row_provenance(const pawl_data *d, pawl_part part, pawl_row r, int64_t k)
{
    const pawl_row_view v = pawl_row_find(d, part, r);
    const pawl_segment *s = &v.segments[k];
    const pawl_document *doc = &v.dataset->prepared.documents[s->document];
    pawl_provenance p = {.line = doc->line,
                         .chunk = chunk_of(doc, d->sequence_len, s),
                         .source = doc->source,
                         .tokens = s->tokens,
                         .trained = s->trained,
                         .bytes = s->bytes};
    memcpy(p.document, doc->content.byte, sizeof p.document);
    return p;
}

const json_t *pawl_data_source(const pawl_data *d, int dataset, int32_t source)
{
    return json_array_get(d->datasets[dataset].prepared.sources, (size_t)source);
}

const char *pawl_data_license(const pawl_data *d, int dataset)
{
    return d->datasets[dataset].config.license;
}

int pawl_data_wide(const pawl_data *d)
{
    return d->count > 0 && d->datasets[0].prepared.wide; /* the tokenizer's size decides, so all are alike */
}

void pawl_row_copy(const pawl_data *d, pawl_part part, pawl_row r, void *tokens, uint8_t *trained)
{
    const pawl_row_view v = pawl_row_find(d, part, r);
    const pawl_prepared *p = &v.dataset->prepared;
    const size_t each = p->wide ? sizeof(uint32_t) : sizeof(uint16_t);
    int64_t at = 0;
    memset(trained, 0, (size_t)(pawl_row_length(d, part, r) + 7) / 8);
    for (int64_t k = 0; k < v.count; k++) {
        const pawl_segment *s = &v.segments[k];
        memcpy((char *)tokens + (size_t)at * each, (const char *)p->map[PAWL_FILE_TOKENS] + (size_t)s->tokens_at * each,
               (size_t)s->tokens * each);
        for (int64_t i = 0; i < s->tokens; i++, at++)
            if (pawl_prepared_trained(p, s->tokens_at + i)) trained[at / 8] |= (uint8_t)(1 << at % 8);
    }
}
