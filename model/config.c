#include <string.h>

#include "model/decoder.h"

const char *const pawl_model_types[] = {"llama", NULL};
const char *const pawl_rope_types[] = {"default", "linear", "llama3", NULL};

const pawl_family pawl_families[] = {
    {.model_type = "llama",
     .architecture = "LlamaForCausalLM",
     .attention_bias = PAWL_QKV_BIAS | PAWL_O_BIAS,
     .mlp_bias = PAWL_MLP_BIAS,
     .rms_norm_eps = 1e-6,
     .bos_token_id = 1,
     .eos_token_id = 2},
};

#define PAWL_SECTION pawl_rope_config
const pawl_field pawl_rope_rows[] = {PAWL_ROPE_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_model_config
const pawl_field pawl_model_rows[] = {PAWL_MODEL_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T, PAWL_ROW_R) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_model_section
const pawl_field pawl_model_section_rows[] = {PAWL_MODEL_SECTION(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_T, PAWL_ROW_R)
                                                  PAWL_ROW_END};
#undef PAWL_SECTION

unsigned pawl_family_options(const pawl_model_config *c)
{
    const pawl_family *f = &pawl_families[c->model_type];
    return f->always | (c->attention_bias ? f->attention_bias : 0) | (c->mlp_bias ? f->mlp_bias : 0);
}

pawl_model_config pawl_model_config_resolve(const pawl_model_config *c)
{
    pawl_model_config r = *c;
    if (!r.num_key_value_heads) r.num_key_value_heads = r.num_attention_heads;
    if (!r.head_dim) r.head_dim = r.hidden_size / r.num_attention_heads;
    if (!r.rope_scaling.present) pawl_fields_default(pawl_rope_rows, &r.rope_scaling.value);
    if (r.rope_scaling.value.rope_type == 0) r.rope_scaling.present = 0; /* "default" is no scaling at all */
    if (!r.rope_scaling.value.original_max_position_embeddings)
        r.rope_scaling.value.original_max_position_embeddings = r.max_position_embeddings;
    return r;
}

static pawl_status check_rope(const pawl_rope_config *r, const char *where)
{
    const char *type = pawl_rope_types[r->rope_type];
    if (strcmp(type, "llama3") == 0)
        PAWL_CHECK(r->low_freq_factor > 0 && r->low_freq_factor < r->high_freq_factor, PAWL_EUSAGE,
                   "%s: rope_scaling of type llama3 needs 0 < low_freq_factor < high_freq_factor, found %g and %g",
                   where, r->low_freq_factor, r->high_freq_factor);
    return PAWL_OK;
}

pawl_status pawl_model_config_check(const pawl_model_config *c, const char *where)
{
    const long long width = c->hidden_size, heads = c->num_attention_heads, groups = c->num_key_value_heads;
    PAWL_CHECK(c->head_dim || width % heads == 0, PAWL_EUSAGE,
               "%s: hidden_size %lld is not a multiple of num_attention_heads %lld; give head_dim if that is meant",
               where, width, heads);
    const long long head_dim = c->head_dim ? c->head_dim : width / heads;
    PAWL_CHECK(head_dim > 0 && head_dim % 2 == 0, PAWL_EUSAGE,
               "%s: the size of a head is %lld, expected an even number: rotary embedding turns pairs%s", where,
               head_dim, c->head_dim ? "" : " (head_dim is hidden_size / num_attention_heads)");
    PAWL_CHECK(!groups || heads % groups == 0, PAWL_EUSAGE,
               "%s: num_attention_heads %lld is not a multiple of num_key_value_heads %lld", where, heads, groups);
    return c->rope_scaling.present ? check_rope(&c->rope_scaling.value, where) : PAWL_OK;
}
