/* The families of GGUF models: a row each, with the names of their tensors and keys. */
#include <stdio.h>
#include <string.h>

#include "model/gguf.h"

static const pawl_gguf_name decoder_outer[] = {
    {"token_embd.weight", "model.embed_tokens.weight", PAWL_AS_IT_IS},
    {"output_norm.weight", "model.norm.weight", PAWL_AS_IT_IS},
    {"output.weight", "lm_head.weight", PAWL_AS_IT_IS},
    {0},
};

/* The rows of q and k differ between families; the rest is the same. */
#define DECODER_LAYER(query, key)                                                                                      \
    {"attn_norm.weight", "input_layernorm.weight", PAWL_AS_IT_IS},                                                     \
        {"attn_q.weight", "self_attn.q_proj.weight", query}, {"attn_q.bias", "self_attn.q_proj.bias", query},          \
        {"attn_k.weight", "self_attn.k_proj.weight", key}, {"attn_k.bias", "self_attn.k_proj.bias", key},              \
        {"attn_v.weight", "self_attn.v_proj.weight", PAWL_AS_IT_IS},                                                   \
        {"attn_v.bias", "self_attn.v_proj.bias", PAWL_AS_IT_IS},                                                       \
        {"attn_output.weight", "self_attn.o_proj.weight", PAWL_AS_IT_IS},                                              \
        {"attn_output.bias", "self_attn.o_proj.bias", PAWL_AS_IT_IS},                                                  \
        {"attn_q_norm.weight", "self_attn.q_norm.weight", PAWL_AS_IT_IS},                                              \
        {"attn_k_norm.weight", "self_attn.k_norm.weight", PAWL_AS_IT_IS},                                              \
        {"ffn_norm.weight", "post_attention_layernorm.weight", PAWL_AS_IT_IS},                                         \
        {"ffn_gate.weight", "mlp.gate_proj.weight", PAWL_AS_IT_IS},                                                    \
        {"ffn_gate.bias", "mlp.gate_proj.bias", PAWL_AS_IT_IS},                                                        \
        {"ffn_up.weight", "mlp.up_proj.weight", PAWL_AS_IT_IS}, {"ffn_up.bias", "mlp.up_proj.bias", PAWL_AS_IT_IS},    \
        {"ffn_down.weight", "mlp.down_proj.weight", PAWL_AS_IT_IS},                                                    \
        {"ffn_down.bias", "mlp.down_proj.bias", PAWL_AS_IT_IS},                                                        \
    {                                                                                                                  \
        0                                                                                                              \
    }

static const pawl_gguf_name llama_layer[] = {DECODER_LAYER(PAWL_QUERY_ROWS, PAWL_KEY_ROWS)};
static const pawl_gguf_name qwen_layer[] = {DECODER_LAYER(PAWL_AS_IT_IS, PAWL_AS_IT_IS)};

static const pawl_gguf_setting decoder_settings[] = {
    {"block_count", "num_hidden_layers", PAWL_WHOLE},
    {"context_length", "max_position_embeddings", PAWL_WHOLE},
    {"embedding_length", "hidden_size", PAWL_WHOLE},
    {"feed_forward_length", "intermediate_size", PAWL_WHOLE},
    {"attention.head_count", "num_attention_heads", PAWL_WHOLE},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", PAWL_REAL},
    {0},
};

static const pawl_gguf_name gpt2_outer[] = {
    {"token_embd.weight", "transformer.wte.weight", PAWL_AS_IT_IS},
    {"position_embd.weight", "transformer.wpe.weight", PAWL_AS_IT_IS},
    {"output_norm.weight", "transformer.ln_f.weight", PAWL_AS_IT_IS},
    {"output_norm.bias", "transformer.ln_f.bias", PAWL_AS_IT_IS},
    {"output.weight", "lm_head.weight", PAWL_AS_IT_IS},
    {0},
};

static const pawl_gguf_name gpt2_layer[] = {
    {"attn_norm.weight", "ln_1.weight", PAWL_AS_IT_IS},
    {"attn_norm.bias", "ln_1.bias", PAWL_AS_IT_IS},
    {"attn_qkv.weight", "attn.c_attn.weight", PAWL_TRANSPOSED},
    {"attn_qkv.bias", "attn.c_attn.bias", PAWL_AS_IT_IS},
    {"attn_output.weight", "attn.c_proj.weight", PAWL_TRANSPOSED},
    {"attn_output.bias", "attn.c_proj.bias", PAWL_AS_IT_IS},
    {"ffn_norm.weight", "ln_2.weight", PAWL_AS_IT_IS},
    {"ffn_norm.bias", "ln_2.bias", PAWL_AS_IT_IS},
    {"ffn_up.weight", "mlp.c_fc.weight", PAWL_TRANSPOSED},
    {"ffn_up.bias", "mlp.c_fc.bias", PAWL_AS_IT_IS},
    {"ffn_down.weight", "mlp.c_proj.weight", PAWL_TRANSPOSED},
    {"ffn_down.bias", "mlp.c_proj.bias", PAWL_AS_IT_IS},
    {0},
};

static const pawl_gguf_setting gpt2_settings[] = {
    {"block_count", "n_layer", PAWL_WHOLE},
    {"context_length", "n_positions", PAWL_WHOLE},
    {"embedding_length", "n_embd", PAWL_WHOLE},
    {"feed_forward_length", "n_inner", PAWL_WHOLE},
    {"attention.head_count", "n_head", PAWL_WHOLE},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon", PAWL_REAL},
    {0},
};

#define DECODER_CONSTANTS "\"hidden_act\": \"silu\", \"attention_dropout\": 0.0, "

static const pawl_gguf_family families[] = {
    {"llama", "model.layers.", decoder_outer, llama_layer, decoder_settings,
     "{" DECODER_CONSTANTS "\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\"}", 1},
    {"qwen2", "model.layers.", decoder_outer, qwen_layer, decoder_settings,
     "{" DECODER_CONSTANTS "\"architectures\": [\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\","
     " \"use_sliding_window\": false}",
     1},
    {"qwen3", "model.layers.", decoder_outer, qwen_layer, decoder_settings,
     "{" DECODER_CONSTANTS "\"architectures\": [\"Qwen3ForCausalLM\"], \"model_type\": \"qwen3\","
     " \"attention_bias\": false, \"use_sliding_window\": false}",
     1},
    {"gpt2", "transformer.h.", gpt2_outer, gpt2_layer, gpt2_settings,
     "{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"activation_function\": \"gelu_new\","
     " \"attn_pdrop\": 0.0, \"embd_pdrop\": 0.0, \"resid_pdrop\": 0.0}",
     0},
};
enum { FAMILIES = sizeof families / sizeof families[0] };

static pawl_status find_family(const pawl_gguf *g, const pawl_gguf_family **out)
{
    pawl_text found = {0};
    pawl_gguf_text name;
    PAWL_TRY(pawl_gguf_string(g, "general.architecture", &name));
    for (int i = 0; i < FAMILIES; i++)
        if (pawl_gguf_is(g, "general.architecture", families[i].name)) {
            *out = &families[i];
            return PAWL_OK;
        }
    pawl_gguf_show(g, "general.architecture", &found);
    const pawl_status s =
        PAWL_FAIL(PAWL_EDATA, "%s: general.architecture is %s; imported are llama, qwen2, qwen3 and gpt2",
                  pawl_gguf_path(g), found.data ? found.data : "unknown");
    pawl_text_close(&found);
    return s;
}

/* --- sizes -------------------------------------------------------------------------------------------------- */

const char *pawl_gguf_own_key(const pawl_gguf_model *m, const char *suffix, char out[256])
{
    snprintf(out, 256, "%s.%s", m->family->name, suffix);
    return out;
}

static pawl_status size(const pawl_gguf_model *m, const char *suffix, int64_t most, int64_t dflt, int64_t *out)
{
    char key[256];
    pawl_gguf_own_key(m, suffix, key);
    return dflt < 0 ? pawl_gguf_i64(m->file, key, 1, most, out) : pawl_gguf_i64_or(m->file, key, 1, most, dflt, out);
}

/* The size of a head: stated as the length of a key, or implied. Rotary positions must turn all of it. */
static pawl_status head_size(pawl_gguf_model *m)
{
    int64_t value, turned;
    PAWL_CHECK(m->hidden % m->heads == 0 ||
                   pawl_gguf_has(m->file, pawl_gguf_own_key(m, "attention.key_length", (char[256]){0})),
               PAWL_EDATA,
               "%s: embedding_length %lld is not divided by head_count %lld, and no attention.key_length says more",
               pawl_gguf_path(m->file), (long long)m->hidden, (long long)m->heads);
    PAWL_TRY(size(m, "attention.key_length", 1 << 16, m->hidden / m->heads, &m->head_dim));
    PAWL_TRY(size(m, "attention.value_length", 1 << 16, m->head_dim, &value));
    PAWL_TRY(size(m, "rope.dimension_count", 1 << 16, m->head_dim, &turned));
    PAWL_CHECK(value == m->head_dim && turned == m->head_dim, PAWL_EDATA,
               "%s: keys of a head have %lld numbers, values %lld, and rotary positions turn %lld: only equal ones are "
               "computed here",
               pawl_gguf_path(m->file), (long long)m->head_dim, (long long)value, (long long)turned);
    PAWL_CHECK(m->head_dim % 2 == 0 || !m->family->rotary, PAWL_EDATA,
               "%s: heads of %lld numbers have no rotary positions", pawl_gguf_path(m->file), (long long)m->head_dim);
    return PAWL_OK;
}

/* GPT-2's head always is its embedding; older converters wrote it out again. */
static int head_repeats_embedding(const pawl_gguf_tensor *head, const pawl_gguf_tensor *embedding)
{
    return head->type == embedding->type && head->bytes == embedding->bytes &&
           memcmp(head->data, embedding->data, head->bytes) == 0;
}

/* Parts of a model, adapters and the like are files of the same kind. */
static pawl_status require_whole_model(const pawl_gguf *g)
{
    int64_t parts;
    PAWL_TRY(pawl_gguf_i64_or(g, "split.count", 0, 65535, 0, &parts));
    PAWL_CHECK(parts <= 1, PAWL_EDATA,
               "%s: is one of %lld parts of a model: join them first, with llama-gguf-split --merge", pawl_gguf_path(g),
               (long long)parts);
    PAWL_CHECK(!pawl_gguf_has(g, "general.type") || pawl_gguf_is(g, "general.type", "model"), PAWL_EDATA,
               "%s: general.type says that this is no model", pawl_gguf_path(g));
    return PAWL_OK;
}

static pawl_status check_vocabulary(pawl_gguf_model *m, const pawl_gguf_tensor *embedding)
{
    const char *path = pawl_gguf_path(m->file);
    const int64_t tokens = pawl_gguf_length(m->file, "tokenizer.ggml.tokens");
    int64_t stated;
    PAWL_CHECK(embedding && embedding->ndim == 2 && embedding->dim[0] <= 10000000, PAWL_EDATA,
               "%s: expected a tensor token_embd.weight with a row for each of at most ten million tokens", path);
    m->vocabulary = embedding->dim[0];
    PAWL_TRY(size(m, "vocab_size", 10000000, m->vocabulary, &stated));
    PAWL_CHECK(stated == m->vocabulary && tokens <= m->vocabulary, PAWL_EDATA,
               "%s: %s.vocab_size is %lld, tokenizer.ggml.tokens has %lld elements and token_embd.weight %lld rows",
               path, m->family->name, (long long)stated, (long long)tokens, (long long)m->vocabulary);
    return PAWL_OK;
}

pawl_status pawl_gguf_model_open(const pawl_gguf *g, pawl_gguf_model *m)
{
    *m = (pawl_gguf_model){.file = g};
    PAWL_TRY(require_whole_model(g));
    PAWL_TRY(find_family(g, &m->family));
    PAWL_TRY(size(m, "block_count", 1000, -1, &m->layers));
    PAWL_TRY(size(m, "embedding_length", 1000000, -1, &m->hidden));
    PAWL_TRY(size(m, "attention.head_count", 10000, -1, &m->heads));
    PAWL_TRY(size(m, "attention.head_count_kv", 10000, m->heads, &m->kv_heads));
    PAWL_TRY(size(m, "context_length", 1000000000, -1, &m->context));
    PAWL_TRY(head_size(m));
    const pawl_gguf_tensor *embedding = pawl_gguf_find(g, "token_embd.weight"),
                           *head = pawl_gguf_find(g, "output.weight");
    PAWL_TRY(check_vocabulary(m, embedding));
    m->tied = !head || (!m->family->rotary && head_repeats_embedding(head, embedding));
    return PAWL_OK;
}
