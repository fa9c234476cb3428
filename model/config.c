#include <math.h>
#include <string.h>

#include "core/text.h"
#include "model/decoder.h"

const char *const pawl_rope_types[] = {"default", "linear", "llama3", "yarn", "longrope", NULL};

/* Names of one function are kept apart, so that a model is written with the name it came with. */
const char *const pawl_hidden_activations[] = {
    "default",          "silu",          "swish",     "gelu",       "gelu_python", "gelu_new", "gelu_pytorch_tanh",
    "gelu_python_tanh", "gelu_accurate", "gelu_fast", "quick_gelu", "relu",        "tanh",     NULL};
static const pawl_activation activations[] = {
    PAWL_SILU,      PAWL_SILU,      PAWL_SILU,      PAWL_GELU,       PAWL_GELU, PAWL_GELU_TANH, PAWL_GELU_TANH,
    PAWL_GELU_TANH, PAWL_GELU_TANH, PAWL_GELU_TANH, PAWL_QUICK_GELU, PAWL_RELU, PAWL_TANH};

#define PAWL_SECTION pawl_rope_config
const pawl_field pawl_rope_rows[] = {PAWL_ROPE_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_W) PAWL_ROW_END};
#undef PAWL_SECTION
#define PAWL_SECTION pawl_model_config
const pawl_field pawl_model_rows[] = {PAWL_MODEL_FIELDS(PAWL_ROW_F, PAWL_ROW_C, PAWL_ROW_W, PAWL_ROW_R) PAWL_ROW_END};
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

static int32_t activation_named(const char *name)
{
    int32_t i = 0;
    while (strcmp(pawl_hidden_activations[i], name) != 0) i++;
    return i;
}

pawl_model_config pawl_model_config_resolve(const pawl_model_config *c)
{
    pawl_model_config r = *c;
    if (!r.num_key_value_heads) r.num_key_value_heads = r.num_attention_heads;
    if (!r.head_dim) r.head_dim = r.hidden_size / r.num_attention_heads;
    if (!r.hidden_act) r.hidden_act = activation_named(pawl_families[r.model_type].activation);
    if (!r.rope_scaling.present) pawl_fields_default(pawl_rope_rows, &r.rope_scaling.value);
    if (r.rope_scaling.value.rope_type == 0) r.rope_scaling.present = 0; /* "default" is no scaling at all */
    if (!r.rope_scaling.value.original_max_position_embeddings)
        r.rope_scaling.value.original_max_position_embeddings = r.max_position_embeddings;
    return r;
}

int64_t pawl_window_of(const pawl_model_config *c, int64_t layer)
{
    if (c->layer_types.count > 0)
        return strcmp(c->layer_types.items[layer], "sliding_attention") == 0 ? c->sliding_window : 0;
    return layer >= c->max_window_layers ? c->sliding_window : 0;
}

pawl_activation pawl_activation_of(const pawl_model_config *c)
{
    return activations[c->hidden_act];
}

float pawl_score_scale(const pawl_model_config *c, int64_t layer)
{
    double scale = c->scale_attn_weights ? 1 / sqrt((double)c->head_dim) : 1;
    if (c->scale_attn_by_inverse_layer_idx) scale /= (double)(layer + 1);
    return (float)scale;
}

/* --- checks between keys ----------------------------------------------------------------------------------- */

/* Each text of a list is a number in [lo, 1e12]. */
static pawl_status check_numbers(const char *where, const char *key, const char *items, size_t room, int count,
                                 double lo)
{
    for (int i = 0; i < count; i++) {
        double x;
        PAWL_CHECK(pawl_parse_f64(items + (size_t)i * room, &x) && x >= lo && x <= 1e12, PAWL_EUSAGE,
                   "%s: %s: '%s' is not a number of at least %g", where, key, items + (size_t)i * room, lo);
    }
    return PAWL_OK;
}

static pawl_status check_long_rope(const pawl_rope_config *r, int64_t pairs, const char *where)
{
    PAWL_CHECK(
        r->short_factor.count == pairs && r->long_factor.count == pairs, PAWL_EUSAGE,
        "%s: rope_scaling of type longrope needs %lld numbers in short_factor and in long_factor, half the size of a "
        "head; found %d and %d",
        where, (long long)pairs, r->short_factor.count, r->long_factor.count);
    PAWL_CHECK(r->original_max_position_embeddings != 1, PAWL_EUSAGE,
               "%s: rope_scaling of type longrope needs an original_max_position_embeddings above 1", where);
    PAWL_TRY(check_numbers(where, "short_factor", r->short_factor.items[0], sizeof r->short_factor.items[0],
                           r->short_factor.count, 1e-6));
    return check_numbers(where, "long_factor", r->long_factor.items[0], sizeof r->long_factor.items[0],
                         r->long_factor.count, 1e-6);
}

static pawl_status check_rope(const pawl_rope_config *r, int64_t pairs, const char *where)
{
    const char *type = pawl_rope_types[r->rope_type];
    if (strcmp(type, "llama3") == 0)
        PAWL_CHECK(r->low_freq_factor > 0 && r->low_freq_factor < r->high_freq_factor, PAWL_EUSAGE,
                   "%s: rope_scaling of type llama3 needs 0 < low_freq_factor < high_freq_factor, found %g and %g",
                   where, r->low_freq_factor, r->high_freq_factor);
    return strcmp(type, "longrope") == 0 ? check_long_rope(r, pairs, where) : PAWL_OK;
}

static pawl_status check_windows(const pawl_model_config *c, const char *where)
{
    int sliding = 0;
    PAWL_CHECK(!c->layer_types.count || c->layer_types.count == c->num_hidden_layers, PAWL_EUSAGE,
               "%s: layer_types has %d items for %lld layers", where, c->layer_types.count,
               (long long)c->num_hidden_layers);
    for (int i = 0; i < c->layer_types.count; i++) {
        const char *type = c->layer_types.items[i];
        sliding |= strcmp(type, "sliding_attention") == 0;
        PAWL_CHECK(strcmp(type, "sliding_attention") == 0 || strcmp(type, "full_attention") == 0, PAWL_EUSAGE,
                   "%s: layer_types: '%s' is not computed here: expected full_attention or sliding_attention", where,
                   type);
    }
    PAWL_CHECK(!sliding || c->sliding_window > 0, PAWL_EUSAGE,
               "%s: layer_types has sliding_attention, and there is no sliding_window", where);
    return PAWL_OK;
}

/* Keys that this family cannot have. */
static pawl_status check_family(const pawl_model_config *c, const char *where)
{
    const pawl_family *f = &pawl_families[c->model_type];
    const int gated = !(f->always & PAWL_UNGATED), rotary = !(f->always & PAWL_POSITION_TABLE);
    const pawl_activation act = c->hidden_act ? pawl_activation_of(c) : PAWL_SILU;
    const struct {
        const char *key;
        int wrong;
    } keys[] = {
        {"attention_bias", c->attention_bias && !f->attention_bias},
        {"mlp_bias", c->mlp_bias && !f->mlp_bias},
        {"sliding_window", c->sliding_window && !(f->may & PAWL_MAY_WINDOW)},
        {"max_window_layers", c->max_window_layers && !(f->may & PAWL_MAY_MIX_WINDOWS)},
        {"layer_types", c->layer_types.count && !(f->may & PAWL_MAY_MIX_WINDOWS)},
        {"scale_attn_weights", !c->scale_attn_weights && !(f->may & PAWL_MAY_SCALE_SCORES)},
        {"scale_attn_by_inverse_layer_idx", c->scale_attn_by_inverse_layer_idx && !(f->may & PAWL_MAY_SCALE_SCORES)},
        {"hidden_act", gated && act != PAWL_SILU},
        {"rope_scaling", !rotary && c->rope_scaling.present},
        {"num_key_value_heads", !rotary && c->num_key_value_heads && c->num_key_value_heads != c->num_attention_heads},
        {"head_dim", !rotary && c->head_dim && c->head_dim * c->num_attention_heads != c->hidden_size},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        PAWL_CHECK(!keys[i].wrong, PAWL_EUSAGE, "%s: models of model_type %s cannot have this %s", where, f->model_type,
                   keys[i].key);
    return PAWL_OK;
}

pawl_status pawl_model_config_check(const pawl_model_config *c, const char *where)
{
    const long long width = c->hidden_size, heads = c->num_attention_heads, groups = c->num_key_value_heads;
    const int rotary = !(pawl_families[c->model_type].always & PAWL_POSITION_TABLE);
    PAWL_CHECK(c->head_dim || width % heads == 0, PAWL_EUSAGE,
               "%s: hidden_size %lld is not a multiple of num_attention_heads %lld; give head_dim if that is meant",
               where, width, heads);
    const long long head_dim = c->head_dim ? c->head_dim : width / heads;
    PAWL_CHECK(head_dim > 0 && (head_dim % 2 == 0 || !rotary), PAWL_EUSAGE,
               "%s: the size of a head is %lld, expected an even number: rotary embedding turns pairs%s", where,
               head_dim, c->head_dim ? "" : " (head_dim is hidden_size / num_attention_heads)");
    PAWL_CHECK(head_dim <= 2 * PAWL_ROPE_PAIRS, PAWL_EUSAGE,
               "%s: the size of a head (head_dim) is %lld, at most %d are possible", where, head_dim,
               2 * PAWL_ROPE_PAIRS);
    PAWL_CHECK(!groups || heads % groups == 0, PAWL_EUSAGE,
               "%s: num_attention_heads %lld is not a multiple of num_key_value_heads %lld", where, heads, groups);
    PAWL_TRY(check_family(c, where));
    PAWL_TRY(check_windows(c, where));
    PAWL_TRY(check_numbers(where, "eos_token_ids", c->eos_token_ids.items[0], sizeof c->eos_token_ids.items[0],
                           c->eos_token_ids.count, 0));
    return c->rope_scaling.present ? check_rope(&c->rope_scaling.value, head_dim / 2, where) : PAWL_OK;
}
