/* The layout: a family's table of slots gives the names, shapes, options and order of all weights. */
#include "model/decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN_FLOATS = PAWL_ALIGN / (int)sizeof(float) };

static int in_layers(pawl_slot s)
{
    return s >= PAWL_ATTENTION_NORM && s <= PAWL_DOWN_BIAS;
}

static int64_t length_of(const pawl_model_config *c, pawl_side s)
{
    const int64_t lengths[] = {[PAWL_NO_SIDE] = 0,
                               [PAWL_WIDTH] = c->hidden_size,
                               [PAWL_HEAD_SIDE] = c->head_dim,
                               [PAWL_QUERIES] = pawl_query_width(c),
                               [PAWL_KEYS] = pawl_key_width(c),
                               [PAWL_FUSED_QKV] = pawl_qkv_width(c),
                               [PAWL_FF] = c->intermediate_size,
                               [PAWL_VOCAB] = c->vocab_size,
                               [PAWL_CONTEXT] = c->max_position_embeddings};
    return lengths[s];
}

static const pawl_family *family_of(const pawl_model *m)
{
    return &pawl_families[m->config.model_type];
}

static const pawl_slot_row *row_of(const pawl_model *m, pawl_slot s)
{
    return &family_of(m)->slots[s];
}

static int has_slot(const pawl_model *m, pawl_slot s)
{
    return row_of(m, s)->name && (m->has & row_of(m, s)->needs) == row_of(m, s)->needs;
}

static pawl_extent extent_of(const pawl_model *m, pawl_slot s, int64_t layer, const pawl_weight *w)
{
    pawl_extent e = w->ndim == 2 ? pawl_extent_matrix(w->first, w->dim[0], w->dim[1]) : pawl_extent_vector(w->first, w->dim[0]);
    e.above = in_layers(s) ? m->config.num_hidden_layers - 1 - layer : s > PAWL_DOWN_BIAS ? 0 : m->config.num_hidden_layers;
    if (s == PAWL_EMBED || s == PAWL_POSITIONS || s == PAWL_HEAD) e.role = PAWL_ROLE_EMBEDDING;
    return e;
}

/* Appends the tensor of slot s; without m->weights it only counts. */
static void place(pawl_model *m, pawl_slot s, int64_t layer, pawl_places *places)
{
    const pawl_slot_row *row = row_of(m, s);
    const int64_t rows = length_of(&m->config, row->rows), cols = length_of(&m->config, row->cols);
    const int64_t count = rows * (cols ? cols : 1);
    if (!row->joins) m->flat = (m->flat + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    if (!row->joins && !cols) m->vectors = (m->vectors + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    if (m->weights) {
        pawl_weight *w = &m->weights[m->count];
        *w = (pawl_weight){.first = m->flat,
                           .ndim = cols ? 2 : 1,
                           .dim = {rows, cols},
                           .transposed = row->transposed,
                           .start = row->start};
        if (layer < 0)
            snprintf(w->name, sizeof w->name, "%s", row->name);
        else
            snprintf(w->name, sizeof w->name, "%s.%lld.%s", family_of(m)->layers, (long long)layer, row->name);
        m->extents[m->count] = extent_of(m, s, layer, w);
        places->at[s] = m->flat;
        places->vector[s] = m->vectors;
    }
    if (!cols) m->vectors += count;
    m->count++;
    m->flat += count;
    m->parameters += count;
    const int looked_up = s == PAWL_POSITIONS || (s == PAWL_EMBED && !(m->has & PAWL_TIED_HEAD));
    if (cols && !looked_up) m->matmul_parameters += count;
}

static void place_range(pawl_model *m, pawl_slot first, pawl_slot last, int64_t layer, pawl_places *places)
{
    for (int s = first; s <= (int)last; s++)
        if (has_slot(m, (pawl_slot)s)) place(m, (pawl_slot)s, layer, places);
}

static void lay_out(pawl_model *m)
{
    m->flat = m->vectors = m->parameters = m->matmul_parameters = 0;
    m->count = 0;
    place_range(m, PAWL_EMBED, PAWL_POSITIONS, -1, &m->outer);
    for (int64_t l = 0; l < m->config.num_hidden_layers; l++)
        place_range(m, PAWL_ATTENTION_NORM, PAWL_DOWN_BIAS, l, &m->layers[l]);
    place_range(m, PAWL_FINAL_NORM, PAWL_HEAD, -1, &m->outer);
    m->flat = (m->flat + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

static void measure_groups(pawl_model *m)
{
    for (int s = 0; s < PAWL_SLOTS; s++) {
        m->cols[s] = length_of(&m->config, row_of(m, (pawl_slot)s)->cols);
        m->rows[s] = length_of(&m->config, row_of(m, (pawl_slot)s)->rows);
        for (int next = s + 1; next < PAWL_SLOTS && row_of(m, (pawl_slot)next)->joins; next++)
            m->rows[s] += length_of(&m->config, row_of(m, (pawl_slot)next)->rows);
    }
}

static pawl_status take_lists(pawl_model *m)
{
    const size_t layers = (size_t)m->config.num_hidden_layers, count = (size_t)m->count;
    PAWL_TRY(pawl_alloc((void **)&m->weights, count * sizeof *m->weights, "the list of weights"));
    PAWL_TRY(pawl_alloc((void **)&m->extents, count * sizeof *m->extents, "the list of weights"));
    memset(m->outer.at, -1, sizeof m->outer.at);
    for (size_t l = 0; l < layers; l++) memset(m->layers[l].at, -1, sizeof m->layers[l].at);
    return PAWL_OK;
}

static pawl_status build(pawl_model *m, const pawl_block_options *o)
{
    const size_t layers = (size_t)m->config.num_hidden_layers;
    PAWL_TRY(pawl_alloc((void **)&m->layers, layers * sizeof *m->layers, "the layout of a model"));
    PAWL_TRY(pawl_alloc((void **)&m->windows, layers * sizeof *m->windows, "the layout of a model"));
    for (size_t l = 0; l < layers; l++)
        m->windows[l] = o->windows ? o->windows[l] : pawl_window_of(&m->config, (int64_t)l);
    lay_out(m); /* counts */
    PAWL_TRY(take_lists(m));
    lay_out(m); /* places */
    measure_groups(m);
    return PAWL_OK;
}

pawl_status pawl_model_open_with(const pawl_model_config *c, const pawl_block_options *o, pawl_model **out)
{
    pawl_model *m;
    PAWL_TRY(pawl_model_config_check(c, "model"));
    PAWL_CHECK(c->vocab_size > 0, PAWL_EUSAGE,
               "model: vocab_size is not known: give it, or a tokenizer to take it from");
    PAWL_TRY(pawl_alloc((void **)&m, sizeof *m, "a model"));
    m->config = pawl_model_config_resolve(c);
    m->has = o->has | (c->tie_word_embeddings ? PAWL_TIED_HEAD : PAWL_OWN_HEAD);
    const pawl_status status = build(m, o);
    if (status != PAWL_OK) {
        pawl_model_close(m);
        return status;
    }
    *out = m;
    return PAWL_OK;
}

pawl_status pawl_model_open(const pawl_model_config *c, pawl_model **out)
{
    return pawl_model_open_with(c, &(pawl_block_options){.has = pawl_family_options(c)}, out);
}

void pawl_model_close(pawl_model *m)
{
    if (!m) return;
    pawl_free(m->windows);
    pawl_free(m->weights);
    pawl_free(m->extents);
    pawl_free(m->layers);
    pawl_free(m);
}

const pawl_model_config *pawl_model_settings(const pawl_model *m)
{
    return &m->config;
}

int pawl_model_ends(const pawl_model *m, int32_t id)
{
    if (id == m->config.eos_token_id) return 1;
    for (int i = 0; i < m->config.eos_token_ids.count; i++)
        if (strtol(m->config.eos_token_ids.items[i], NULL, 10) == id) return 1;
    return 0;
}

int64_t pawl_model_count(const pawl_model *m)
{
    return m->flat;
}

int64_t pawl_model_parameters(const pawl_model *m)
{
    return m->parameters;
}

int64_t pawl_model_matmul_parameters(const pawl_model *m)
{
    return m->matmul_parameters;
}

pawl_status pawl_model_state(const pawl_model *m, float *flat, const char *prefix, pawl_state *out)
{
    for (int i = 0; i < m->count; i++) {
        const pawl_weight *w = &m->weights[i];
        PAWL_TRY(pawl_state_add(out, prefix, w->name,
                                pawl_view(flat ? flat + w->first : NULL, w->dim[0], w->ndim == 2 ? w->dim[1] : 0)));
    }
    return PAWL_OK;
}

int pawl_model_extents(const pawl_model *m, const pawl_extent **out)
{
    if (out) *out = m->extents;
    return m->count;
}

pawl_slot pawl_group_of(const pawl_model *m, pawl_slot s)
{
    while (row_of(m, s)->joins) s--;
    return s;
}

pawl_slot pawl_head_slot(const pawl_model *m)
{
    return m->has & PAWL_TIED_HEAD ? PAWL_EMBED : PAWL_HEAD;
}

pawl_tensor pawl_part_in(const pawl_model *m, pawl_stretch of, int64_t layer, pawl_slot s)
{
    const int64_t at = in_layers(s) ? m->layers[layer].at[s] : m->outer.at[s];
    if (!of.data || at < 0) return (pawl_tensor){.dtype = PAWL_F32};
    return pawl_view_as(of.type, pawl_number_at(of, at - of.first), m->rows[s], m->cols[s]);
}

pawl_tensor pawl_part(const pawl_model *m, const float *flat, int64_t layer, pawl_slot s)
{
    return pawl_part_in(m, (pawl_stretch){flat, 0, PAWL_F32}, layer, s);
}
