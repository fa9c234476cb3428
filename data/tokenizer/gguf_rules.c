/* How the texts of a byte-level vocabulary are cut before its merges: a row for each of llama.cpp's names, in the form
 * that the models' own tokenizer.json has. */
#include <string.h>

#include "data/tokenizer/gguf_vocab.h"

#define ISOLATED(regex)                                                                                                \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false},"
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true},"
#define BYTE_LEVEL(words, prefix)                                                                                      \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"trim_offsets\":true,\"use_regex\":" words "}"
#define SEQUENCE(parts) "{\"type\":\"Sequence\",\"pretokenizers\":[" parts BYTE_LEVEL("false", "false") "]}"

/* The regular expressions are written as JSON writes them. */
#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST    "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define WORDS(digits)                                                                                                  \
    ENDINGS "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" REST
#define UPPER "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define TEKKEN                                                                                                         \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "*" LOWER "+|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "+" LOWER                \
    "*|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|" REST

/* Letters of scripts with two cases, in ranges. */
#define CASED                                                                                                          \
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"                       \
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5"                  \
    "\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba"                      \
    "\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45"                      \
    "\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe"                        \
    "\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc"                      \
    "\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"                   \
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3"                  \
    "\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"                      \
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"                                \
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"                             \
    "\U0001e900-\U0001e943"

#define DEEPSEEK                                                                                                       \
    ISOLATED("[\\r\\n]")                                                                                               \
    ISOLATED("\\\\s?[" CASED "]+")                                                                                     \
    ISOLATED("\\\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+")                                    \
    ISOLATED("\\\\s+$")                                                                                                \
    ISOLATED("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+") DIGITS

#define NFC "{\"type\":\"NFC\"}"

static const pawl_gguf_rule rules[] = {
    {"gpt-2", NULL, BYTE_LEVEL("true", "false"), BYTE_LEVEL("true", "true"), 0, 0},
    {"smollm", NULL, "{\"type\":\"Sequence\",\"pretokenizers\":[" DIGITS BYTE_LEVEL("true", "false") "]}",
     "{\"type\":\"Sequence\",\"pretokenizers\":[" DIGITS BYTE_LEVEL("true", "true") "]}", 0, 0},
    {"llama-bpe", NULL, SEQUENCE(ISOLATED(WORDS("\\\\p{N}{1,3}"))), NULL, 1, 1},
    {"qwen2", NFC, SEQUENCE(ISOLATED(WORDS("\\\\p{N}"))), NULL, 0, 0},
    {"deepseek-llm", NULL, SEQUENCE(DEEPSEEK), NULL, 0, 0},
    {"tekken", NULL, SEQUENCE(ISOLATED(TEKKEN)), NULL, 1, 1},
};

/* Other names of the same rules, and what stands in for a name that a file lacks: older converters wrote none, or
 * "default" for what they did not know, and for some architectures there is only one. */
static const struct {
    const char *name, *architecture, *rule;
} aliases[] = {
    {"llama3", NULL, "llama-bpe"}, {"llama-v3", NULL, "llama-bpe"}, {"starcoder", NULL, "smollm"},
    {"refact", NULL, "smollm"},    {"default", "gpt2", "gpt-2"},    {"default", "qwen2", "qwen2"},
    {"default", "qwen3", "qwen2"},
};

static const pawl_gguf_rule *named(const char *name)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (strcmp(rules[i].name, name) == 0) return &rules[i];
    return NULL;
}

pawl_status pawl_gguf_rule_of(const pawl_gguf *g, const pawl_gguf_rule **out)
{
    const char *const key = "tokenizer.ggml.pre";
    const int stated = pawl_gguf_has(g, key);
    *out = NULL;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (pawl_gguf_is(g, key, rules[i].name)) *out = &rules[i];
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        const char *of = aliases[i].architecture;
        const int same = stated ? pawl_gguf_is(g, key, aliases[i].name) : strcmp(aliases[i].name, "default") == 0;
        if (same && (!of || pawl_gguf_is(g, "general.architecture", of))) *out = named(aliases[i].rule);
    }
    if (*out) return PAWL_OK;
    pawl_text found = {0};
    pawl_gguf_show(g, key, &found);
    const pawl_status s =
        PAWL_FAIL(PAWL_EDATA,
                  "%s: key %s, the rule by which texts are cut, is %s; imported are gpt-2, smollm, llama-bpe, qwen2, "
                  "deepseek-llm and tekken: another rule would give other tokens without a word",
                  pawl_gguf_path(g), key, found.data ? found.data : "unknown");
    pawl_text_close(&found);
    return s;
}
