/* Runs: cmocka */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/arena.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "launch/launch.h"
#include "tests/gguf_case.h"

static char root[] = "test_gguf_import.XXXXXX";
static json_t *expected; /* tests/fixtures/gguf/models.json */

static const char *fixture(const char *name, char out[1024])
{
    snprintf(out, 1024, "%s/tests/fixtures/gguf/%s", getenv("PAWL_SOURCE"), name);
    return out;
}

static const char *fresh(const char *name, char out[1024])
{
    snprintf(out, 1024, "%s/%s", root, name);
    assert_int_equal(pawl_dir_remove(out), PAWL_OK);
    assert_int_equal(pawl_dir_make(out), PAWL_OK);
    return out;
}

/* --- whole models ------------------------------------------------------------------------------------------- */

static void import_fixture(const char *name, pawl_dtype dtype, const char *dir)
{
    char path[1024], file[128];
    pawl_gguf *g;
    snprintf(file, sizeof file, "%s.gguf", name);
    assert_int_equal(pawl_gguf_open(fixture(file, path), &g), PAWL_OK);
    if (pawl_hf_import_gguf(g, dtype, dir, NULL) != PAWL_OK || pawl_tokenizer_import_gguf(g, dir) != PAWL_OK)
        fail_msg("%s: %s", name, pawl_last_error()->what);
    pawl_gguf_close(g);
}

static void check_tensors(const char *name, const char *dir, const json_t *tensors)
{
    pawl_safetensors *s;
    const char *key;
    json_t *t;
    assert_int_equal(pawl_safetensors_open(dir, &s), PAWL_OK);
    assert_int_equal(pawl_safetensors_count(s), json_object_size(tensors));
    json_object_foreach((json_t *)(uintptr_t)tensors, key, t)
    {
        const pawl_named *n = pawl_safetensors_find(s, key);
        if (!n) fail_msg("%s: %s is missing", name, key);
        assert_int_equal(n->tensor.ndim, json_array_size(json_object_get(t, "shape")));
        for (int i = 0; i < n->tensor.ndim; i++)
            assert_int_equal(n->tensor.dim[i],
                             json_integer_value(json_array_get(json_object_get(t, "shape"), (size_t)i)));
        const pawl_hex hex = pawl_digest_hex(pawl_sha256(n->tensor.data, pawl_tensor_bytes(n->tensor)));
        if (strcmp(hex.text, json_string_value(json_object_get(t, "sha256_f32"))) != 0)
            fail_msg("%s: %s differs", name, key);
    }
    pawl_safetensors_close(s);
}

/* The configuration means what the source's does; the tokens' ids are the new tokenizer's. */
static void check_config(const char *name, const char *dir, const json_t *source)
{
    char other[1024];
    pawl_model_config ours, theirs;
    assert_int_equal(pawl_json_write(fresh("source", other), "config.json", source), PAWL_OK);
    assert_int_equal(pawl_hf_config(other, &theirs), PAWL_OK);
    assert_int_equal(pawl_hf_config(dir, &ours), PAWL_OK);
    theirs.bos_token_id = ours.bos_token_id;
    theirs.eos_token_id = ours.eos_token_id;
    pawl_model *a, *b;
    assert_int_equal(pawl_model_open(&ours, &a), PAWL_OK);
    assert_int_equal(pawl_model_open(&theirs, &b), PAWL_OK);
    json_t *x, *y;
    pawl_text u = {0}, v = {0};
    assert_int_equal(pawl_fields_json(pawl_model_rows, pawl_model_settings(a), &x), PAWL_OK);
    assert_int_equal(pawl_fields_json(pawl_model_rows, pawl_model_settings(b), &y), PAWL_OK);
    assert_int_equal(pawl_json_canonical(x, &u), PAWL_OK);
    assert_int_equal(pawl_json_canonical(y, &v), PAWL_OK);
    if (strcmp(u.data, v.data) != 0) fail_msg("%s:\n%s\n%s", name, u.data, v.data);
    pawl_text_close(&u);
    pawl_text_close(&v);
    json_decref(x);
    json_decref(y);
    pawl_model_close(a);
    pawl_model_close(b);
}

static void check_ids(const char *name, const pawl_tokenizer *t, const json_t *text, const char *key,
                      pawl_specials specials)
{
    const char *words = json_string_value(json_object_get(text, "text"));
    const json_t *ids = json_object_get(text, key);
    pawl_encoding e = {0};
    assert_int_equal(pawl_encode(t, words, strlen(words), specials, &e), PAWL_OK);
    int same = e.count == (int64_t)json_array_size(ids);
    for (int64_t i = 0; same && i < e.count; i++) same = e.ids[i] == json_integer_value(json_array_get(ids, (size_t)i));
    if (!same) fail_msg("%s: other ids for '%s'", name, words);
    pawl_encoding_close(&e);
}

/* Every kind of vocabulary, against Hugging Face's tokenizers. */
static void check_tokenizer(const char *name, const char *dir, const json_t *texts)
{
    pawl_tokenizer *t;
    size_t i;
    json_t *text;
    if (pawl_tokenizer_open(dir, &t) != PAWL_OK) fail_msg("%s: %s", name, pawl_last_error()->what);
    json_array_foreach((json_t *)(uintptr_t)texts, i, text)
    {
        check_ids(name, t, text, "ids", PAWL_WITHOUT_SPECIALS);
        check_ids(name, t, text, "ids_special", PAWL_WITH_SPECIALS);
    }
    assert_int_equal(i, 9);
    pawl_tokenizer_close(t);
}

/* Every family, against its Hugging Face source: names, shapes, order of rows, Conv1D's layout, rotary scaling,
 * windows. */
static void models_equal_their_sources(void **state)
{
    const char *name;
    json_t *of;
    (void)state;
    json_object_foreach(expected, name, of)
    {
        char dir[1024];
        fresh(name, dir);
        import_fixture(name, PAWL_F32, dir);
        check_tensors(name, dir, json_object_get(of, "tensors"));
        check_config(name, dir, json_object_get(of, "config"));
        check_tokenizer(name, dir, json_object_get(of, "texts"));
    }
    assert_int_equal(json_object_size(expected), 6);
}

static void other_types_are_rounded(void **state)
{
    char whole[1024], half[1024];
    pawl_safetensors *a, *b;
    (void)state;
    import_fixture("gpt2", PAWL_F32, fresh("whole", whole));
    import_fixture("gpt2", PAWL_BF16, fresh("half", half));
    assert_int_equal(pawl_safetensors_open(whole, &a), PAWL_OK);
    assert_int_equal(pawl_safetensors_open(half, &b), PAWL_OK);
    assert_int_equal(pawl_safetensors_count(a), pawl_safetensors_count(b));
    for (int i = 0; i < pawl_safetensors_count(a); i++) {
        const pawl_tensor x = pawl_safetensors_at(a, i)->tensor, y = pawl_safetensors_at(b, i)->tensor;
        assert_int_equal(y.dtype, PAWL_BF16);
        uint16_t *rounded = malloc(pawl_tensor_bytes(y));
        pawl_convert(x.data, PAWL_F32, rounded, PAWL_BF16, pawl_tensor_count(x));
        assert_memory_equal(rounded, y.data, pawl_tensor_bytes(y));
        free(rounded);
    }
    pawl_safetensors_close(a);
    pawl_safetensors_close(b);
}

/* --- what is refused ---------------------------------------------------------------------------------------- */

/* A llama of one layer, two heads of two numbers and eight tokens. */
typedef struct small {
    const char *key; /* one more key, under its whole name, with this number */
    uint32_t value;
    const char *tensor;       /* one more tensor of four numbers */
    const char *leave_out;    /* a tensor or key */
    const char *architecture; /* NULL: llama */
    float divisors[1];        /* rope_freqs.weight, when tensor is that */
} small;

static void tensor_of(pawl_text *f, const small *s, const char *name, int ndim, uint64_t a, uint64_t b, int *count,
                      uint64_t *at)
{
    if (s->leave_out && strcmp(s->leave_out, name) == 0) return;
    g_tensor(f, name, ndim, (const uint64_t[]){a, b}, 0, *at);
    *at += (a * (ndim == 2 ? b : 1) * 4 + 31) / 32 * 32;
    (*count)++;
}

static void tensors_of(pawl_text *f, const small *s, int *count)
{
    uint64_t at = 0;
    tensor_of(f, s, "token_embd.weight", 2, 4, 8, count, &at);
    tensor_of(f, s, "output_norm.weight", 1, 4, 0, count, &at);
    tensor_of(f, s, "blk.0.attn_norm.weight", 1, 4, 0, count, &at);
    tensor_of(f, s, "blk.0.attn_q.weight", 2, 4, 4, count, &at);
    tensor_of(f, s, "blk.0.attn_k.weight", 2, 4, 4, count, &at);
    tensor_of(f, s, "blk.0.attn_v.weight", 2, 4, 4, count, &at);
    tensor_of(f, s, "blk.0.attn_output.weight", 2, 4, 4, count, &at);
    tensor_of(f, s, "blk.0.ffn_norm.weight", 1, 4, 0, count, &at);
    tensor_of(f, s, "blk.0.ffn_gate.weight", 2, 4, 6, count, &at);
    tensor_of(f, s, "blk.0.ffn_up.weight", 2, 4, 6, count, &at);
    tensor_of(f, s, "blk.0.ffn_down.weight", 2, 6, 4, count, &at);
    const int divisors = s->tensor && strcmp(s->tensor, "rope_freqs.weight") == 0;
    if (s->tensor) tensor_of(f, s, s->tensor, 1, divisors ? 1 : 4, 0, count, &at);
    g_pad(f, 32);
    const size_t data = f->bytes;
    while (f->bytes < data + at) g_word(f, 0, 4);
    if (divisors) memcpy(f->data + f->bytes - 32, s->divisors, sizeof s->divisors);
}

static pawl_gguf *small_file(const small *s)
{
    static const char *const numbers[] = {"block_count",         "context_length",       "embedding_length",
                                          "feed_forward_length", "attention.head_count", NULL};
    static const uint32_t values[] = {1, 16, 4, 6, 2};
    char path[1024];
    pawl_text keys = {0}, tensors = {0}, whole = {0};
    pawl_gguf *g;
    int key_count = 2, tensor_count = 0;
    const char *architecture = s->architecture ? s->architecture : "llama";
    g_text(&keys, "general.architecture", architecture);
    for (int i = 0; numbers[i]; i++) {
        char key[128];
        snprintf(key, sizeof key, "%s.%s", architecture, numbers[i]);
        if (s->leave_out && strcmp(s->leave_out, key) == 0) continue;
        g_u32(&keys, key, values[i]);
        key_count++;
    }
    g_f32(&keys, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (s->key) {
        g_u32(&keys, s->key, s->value);
        key_count++;
    }
    small counting = *s;
    tensors_of(&tensors, &counting, &tensor_count);
    pawl_text_close(&tensors);
    g_head(&whole, (uint64_t)tensor_count, (uint64_t)key_count);
    pawl_text_add_bytes(&whole, keys.data, keys.bytes);
    tensors_of(&whole, s, &(int){0});
    snprintf(path, sizeof path, "%s/small.gguf", root);
    assert_int_equal(pawl_text_status(&whole), PAWL_OK);
    assert_int_equal(pawl_file_replace(path, whole.data, whole.bytes), PAWL_OK);
    pawl_text_close(&keys);
    pawl_text_close(&whole);
    if (pawl_gguf_open(path, &g) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    return g;
}

static pawl_status import_small(const small *s)
{
    char dir[1024];
    pawl_gguf *g = small_file(s);
    const pawl_status status = pawl_hf_import_gguf(g, PAWL_F32, fresh("small", dir), NULL);
    pawl_gguf_close(g);
    return status;
}

static void what_would_be_wrong_is_refused(void **state)
{
    static const struct {
        small file;
        const char *because;
    } cases[] = {
        {{.architecture = "gemma2"}, "general.architecture is \"gemma2\"; imported are llama, qwen2, qwen3 and gpt2"},
        {{.key = "llama.expert_count", .value = 8}, "key llama.expert_count is 8, which is not computed here"},
        {{.key = "llama.something.new", .value = 1}, "key llama.something.new is 1"},
        {{.key = "llama.attention.key_length", .value = 3}, "heads of 3 numbers have no rotary positions"},
        {{.key = "llama.rope.dimension_count", .value = 1}, "rotary positions turn 1"},
        {{.key = "llama.vocab_size", .value = 9},
         "llama.vocab_size is 9, tokenizer.ggml.tokens has 0 elements and token_embd.weight 8 rows"},
        {{.key = "llama.rope.scaling.type", .value = 9}, "llama.rope.scaling.type is 9"},
        {{.key = "tokenizer.ggml.bos_token_id", .value = 8}, "a whole number from 0 to 7, found 8"},
        {{.key = "split.count", .value = 3}, "is one of 3 parts of a model"},
        {{.key = "general.type", .value = 3}, "general.type says that this is no model"},
        {{.leave_out = "llama.context_length"}, "key llama.context_length is missing"},
        {{.leave_out = "blk.0.attn_k.weight"}, "tensor model.layers.0.self_attn.k_proj.weight [4, 4] is missing"},
        {{.leave_out = "token_embd.weight"}, "expected a tensor token_embd.weight"},
        {{.tensor = "blk.1.attn_norm.weight"}, "tensor blk.1.attn_norm.weight does not belong"},
        {{.tensor = "blk.00.attn_norm.weight"}, "tensor blk.00.attn_norm.weight does not belong"},
        {{.tensor = "blk.0.ffn_gate_inp.weight"}, "tensor blk.0.ffn_gate_inp.weight does not belong"},
        {{.tensor = "blk.99999999999999999999.attn_norm.weight"}, "does not belong"},
        {{.tensor = "rope_factors_long.weight"}, "tensor rope_factors_long.weight does not belong"},
        {{.tensor = "rope_freqs.weight", .divisors = {0.5f}}, "do not follow Llama 3's rule"},
        {{.tensor = "blk.0.attn_q.bias"}, ""}, /* attention_bias wants k, v and o biases too */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pawl_status s = import_small(&cases[i].file);
        if (s != PAWL_EDATA || !strstr(pawl_last_error()->what, cases[i].because) ||
            !strstr(pawl_last_error()->what, "small.gguf: "))
            fail_msg("case %zu: expected an error about \"%s\", found: %d %s", i, cases[i].because, s,
                     pawl_last_error()->what);
    }
}

static void what_says_nothing_new_is_taken(void **state)
{
    static const small cases[] = {
        {0},
        {.key = "llama.expert_count", .value = 0},
        {.key = "llama.logit_scale", .value = 1},
        {.key = "llama.rope.scaling.factor", .value = 1},
        {.tensor = "rope_freqs.weight", .divisors = {1}},
        {.tensor = "rope_freqs.weight", .divisors = {8}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (import_small(&cases[i]) != PAWL_OK) fail_msg("case %zu: %s", i, pawl_last_error()->what);
}

/* --- tokenizers --------------------------------------------------------------------------------------------- */

typedef struct vocab {
    const char *model, *pre;
    const char *tokens[8];
    const char *merges[4];
    int32_t types[8];
    float scores[8];
    int no_scores;
    const char *flag; /* set to 1 */
} vocab;

static void put_lists(pawl_text *f, const vocab *v, int *keys)
{
    int tokens = 0, merges = 0;
    while (tokens < 8 && v->tokens[tokens]) tokens++;
    while (merges < 4 && v->merges[merges]) merges++;
    g_texts(f, "tokenizer.ggml.tokens", v->tokens, tokens);
    g_list(f, "tokenizer.ggml.token_type", G_I32, (uint64_t)tokens);
    for (int i = 0; i < tokens; i++) g_word(f, v->types[i] ? (uint32_t)v->types[i] : 1, 4);
    *keys += 2;
    if (!v->no_scores) {
        g_list(f, "tokenizer.ggml.scores", G_F32, (uint64_t)tokens);
        for (int i = 0; i < tokens; i++) {
            uint32_t bits;
            memcpy(&bits, &v->scores[i], sizeof bits);
            g_word(f, bits, 4);
        }
        *keys += 1;
    }
    if (merges || strcmp(v->model, "gpt2") == 0) {
        g_texts(f, "tokenizer.ggml.merges", v->merges, merges);
        *keys += 1;
    }
}

static pawl_status import_vocab(const vocab *v, json_t **out)
{
    char path[1024], dir[1024];
    pawl_text body = {0}, whole = {0};
    pawl_gguf *g;
    int keys = 2;
    g_text(&body, "general.architecture", "llama");
    g_text(&body, "tokenizer.ggml.model", v->model);
    if (v->pre) {
        g_text(&body, "tokenizer.ggml.pre", v->pre);
        keys++;
    }
    if (v->flag) {
        g_flag(&body, v->flag, 1);
        keys++;
    }
    put_lists(&body, v, &keys);
    g_head(&whole, 0, (uint64_t)keys);
    pawl_text_add_bytes(&whole, body.data, body.bytes);
    snprintf(path, sizeof path, "%s/vocab.gguf", root);
    assert_int_equal(pawl_file_replace(path, whole.data, whole.bytes), PAWL_OK);
    pawl_text_close(&body);
    pawl_text_close(&whole);
    if (pawl_gguf_open(path, &g) != PAWL_OK) fail_msg("%s", pawl_last_error()->what);
    pawl_status s = pawl_tokenizer_import_gguf(g, fresh("vocab", dir));
    pawl_gguf_close(g);
    snprintf(path, sizeof path, "%.1000s/tokenizer.json", dir);
    if (s == PAWL_OK && out) s = pawl_json_read(path, 1 << 20, out);
    return s;
}

static void wrong_vocabularies_are_refused(void **state)
{
    static const struct {
        vocab v;
        const char *because;
    } cases[] = {
        {{.model = "t5", .tokens = {"a"}}, "the kind of tokenizer, is \"t5\"; imported are gpt2 and llama"},
        {{.model = "gpt2", .pre = "viking", .tokens = {"a"}}, "is \"viking\"; imported are gpt-2, smollm"},
        {{.model = "gpt2", .pre = "default", .tokens = {"a"}}, "is \"default\""},
        {{.model = "gpt2", .tokens = {"a"}}, "is nothing"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {NULL}}, "tokenizer.ggml.tokens has 0 elements"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b", "a"}}, "tokens 0 and 2 are the same text 'a'"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "\xff"}}, "token 1 is not UTF-8"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", ""}}, "token 1 is 0 bytes long"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b"}, .types = {1, 7}},
         "token 1 has type 7, expected 1 to 6"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b"}, .merges = {"a b"}},
         "element 0, 'a b': its parts and what"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b", "ab"}, .merges = {"ab"}},
         "element 0 is not two tokens"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a", "b", "ab"}, .merges = {"a b", "a  b"}},
         "element 1 is not two"},
        {{.model = "gpt2", .pre = "gpt-2", .tokens = {"a"}, .flag = "tokenizer.ggml.add_eos_token"},
         "does not name it"},
        {{.model = "gpt2", .pre = "qwen2", .tokens = {"a"}, .flag = "tokenizer.ggml.add_space_prefix"}, "rule qwen2"},
        {{.model = "llama", .tokens = {"a"}, .no_scores = 1, .flag = "tokenizer.ggml.remove_extra_whitespaces"},
         "key tokenizer.ggml.remove_extra_whitespaces is not computed here"},
        {{.model = "llama", .tokens = {"<unk>", "<s>", "</s>"}, .no_scores = 1}, "tokenizer.ggml.scores is missing"},
        {{.model = "llama", .tokens = {"<unk>"}}, "the file does not name it"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pawl_status s = import_vocab(&cases[i].v, NULL);
        if (s != PAWL_EDATA || !strstr(pawl_last_error()->what, cases[i].because))
            fail_msg("case %zu: expected an error about \"%s\", found: %d %s", i, cases[i].because, s,
                     pawl_last_error()->what);
    }
}

/* By hand: of "abc" come "ab"+"c" and "a"+"bc"; the better score goes first, then the longer beginning. Control tokens
 * and unused ones take no part. */
static void merges_follow_from_scores(void **state)
{
    const vocab v = {.model = "llama",
                     .tokens = {"<unk>", "<s>", "</s>", "a", "bc", "b", "c", "abc"},
                     .types = {2, 3, 3, 1, 1, 1, 1, 1},
                     .scores = {0, 0, 0, -9, -2, -9, -9, -1}};
    vocab w = v;
    json_t *t;
    (void)state;
    w.tokens[0] = "ab";
    w.types[0] = 1;
    w.scores[0] = -3;
    w.tokens[2] = "c</s>";
    assert_int_equal(import_vocab(&w, &t), PAWL_OK);
    json_t *merges = json_object_get(json_object_get(t, "model"), "merges");
    json_t *hand = json_loads("[[\"ab\", \"c\"], [\"a\", \"bc\"], [\"b\", \"c\"], [\"a\", \"b\"]]", 0, NULL);
    assert_true(json_equal(merges, hand));
    assert_string_equal(json_string_value(json_object_get(json_object_get(t, "model"), "unk_token")), "ab");
    json_decref(hand);
    json_decref(t);
}

static int set_up(void **state)
{
    char path[1024];
    (void)state;
    return mkdtemp(root) && pawl_json_read(fixture("models.json", path), 1 << 24, &expected) == PAWL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(expected);
    return pawl_dir_remove(root) == PAWL_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_equal_their_sources),     cmocka_unit_test(other_types_are_rounded),
        cmocka_unit_test(what_would_be_wrong_is_refused), cmocka_unit_test(what_says_nothing_new_is_taken),
        cmocka_unit_test(wrong_vocabularies_are_refused), cmocka_unit_test(merges_follow_from_scores),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
