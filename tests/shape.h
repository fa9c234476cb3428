/* tests/shape.h - a model's configuration from a few numbers. */
#ifndef PAWL_TESTS_SHAPE_H
#define PAWL_TESTS_SHAPE_H

#include <string.h>

#include "model/model.h"

struct shape {
    const char *family;
    int64_t vocab, width, ff, layers, heads, kv_heads;
    int tied;
    int64_t head_dim, window; /* 0: as the width and the heads have it; none */
};

static inline pawl_model_config configured(const struct shape *s)
{
    pawl_model_config c;
    pawl_fields_default(pawl_model_rows, &c);
    while (strcmp(pawl_model_types[c.model_type], s->family) != 0) c.model_type++;
    c.vocab_size = s->vocab;
    c.hidden_size = s->width;
    c.intermediate_size = s->ff;
    c.num_hidden_layers = s->layers;
    c.num_attention_heads = s->heads;
    c.num_key_value_heads = s->kv_heads;
    c.tie_word_embeddings = s->tied;
    if (s->head_dim) c.head_dim = s->head_dim;
    c.sliding_window = s->window;
    return c;
}

#endif
