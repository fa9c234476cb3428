/* decoder: steps that turn the texts of tokens into the text. */
#include "data/tokenizer/decoder.h"

#include <string.h>

#include "core/arena.h"
#include "data/tokenizer/stages.h"

pawl_status pawl_texts_end(pawl_texts *t)
{
    PAWL_TRY(pawl_text_status(&t->text));
    if (t->count == t->room) {
        const int64_t room = 2 * t->room + 64;
        PAWL_TRY(pawl_realloc((void **)&t->ends, (size_t)room * sizeof *t->ends, "the texts of tokens"));
        t->room = room;
    }
    t->ends[t->count++] = t->text.bytes;
    return PAWL_OK;
}

void pawl_texts_close(pawl_texts *t)
{
    pawl_text_close(&t->text);
    pawl_free(t->ends);
    memset(t, 0, sizeof *t);
}

/* The i-th text. */
static const char *text_at(const pawl_texts *t, int64_t i, size_t *bytes)
{
    const size_t from = i ? t->ends[i - 1] : 0;
    *bytes = t->ends[i] - from;
    return t->text.data ? t->text.data + from : "";
}

/* ---- Steps ---- */

static int letters_to_bytes(const char *text, size_t bytes, pawl_text *out)
{
    const size_t from = out->bytes;
    for (size_t i = 0; i < bytes; i += (size_t)pawl_utf8_bytes((uint8_t)text[i])) {
        const int byte = pawl_letter_byte(pawl_utf8_point(text + i));
        const char c = (char)byte;
        if (byte < 0) {
            out->bytes = from;
            return 0;
        }
        pawl_text_add_bytes(out, &c, 1);
    }
    return 1;
}

/* A token with a letter that stands for no byte is taken as it is. */
static pawl_status byte_level(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out)
{
    pawl_text raw = {0};
    (void)d;
    for (int64_t i = 0; i < in->count; i++) {
        size_t bytes;
        const char *text = text_at(in, i, &bytes);
        if (!letters_to_bytes(text, bytes, &raw)) pawl_text_add_bytes(&raw, text, bytes);
    }
    pawl_text_add_utf8(&out->text, raw.data, raw.bytes);
    const pawl_status status = pawl_text_status(&raw);
    pawl_text_close(&raw);
    PAWL_TRY(status);
    return pawl_texts_end(out);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') return (c | 0x20) - 'a' + 10;
    return -1;
}

/* <0x41>: the byte, or -1. */
static int fallback_byte(const char *text, size_t bytes)
{
    if (bytes != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    if (text[3] == '+' && hex_digit(text[4]) >= 0) return hex_digit(text[4]); /* as Rust reads a number */
    return hex_digit(text[3]) < 0 || hex_digit(text[4]) < 0 ? -1 : hex_digit(text[3]) * 16 + hex_digit(text[4]);
}

/* Bytes that are one text, or U+FFFD for each. */
static pawl_status end_bytes(pawl_text *bytes, pawl_texts *out)
{
    pawl_text valid = {0};
    pawl_text_add_utf8(&valid, bytes->data, bytes->bytes);
    const int whole = valid.bytes == bytes->bytes && memcmp(valid.data, bytes->data, bytes->bytes) == 0;
    pawl_text_close(&valid);
    if (whole) pawl_text_add_bytes(&out->text, bytes->data, bytes->bytes);
    for (size_t i = 0; !whole && i < bytes->bytes; i++) pawl_text_add_bytes(&out->text, "\xef\xbf\xbd", 3);
    bytes->bytes = 0;
    return pawl_texts_end(out);
}

static pawl_status byte_fallback(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out)
{
    pawl_text bytes = {0};
    pawl_status status = PAWL_OK;
    (void)d;
    for (int64_t i = 0; i < in->count; i++) {
        size_t n;
        const char *text = text_at(in, i, &n);
        const int byte = fallback_byte(text, n);
        const char c = (char)byte;
        if (byte >= 0) {
            pawl_text_add_bytes(&bytes, &c, 1);
            continue;
        }
        if (bytes.bytes) PAWL_TRY_OUT(end_bytes(&bytes, out));
        pawl_text_add_bytes(&out->text, text, n);
        PAWL_TRY_OUT(pawl_texts_end(out));
    }
    if (bytes.bytes) PAWL_TRY_OUT(end_bytes(&bytes, out));
out:
    pawl_text_close(&bytes);
    return status;
}

static pawl_status fuse(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out)
{
    (void)d;
    pawl_text_add_bytes(&out->text, in->text.data, in->text.bytes);
    return pawl_texts_end(out);
}

/* The letter becomes a space; in the first token it becomes nothing, where the pre-tokenizer put it there (flag). */
static pawl_status metaspace(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out)
{
    const size_t n = strlen(d->needle);
    for (int64_t i = 0; i < in->count; i++) {
        size_t bytes;
        const char *text = text_at(in, i, &bytes);
        for (size_t k = 0; k < bytes;) {
            const size_t letter = (size_t)pawl_utf8_bytes((uint8_t)text[k]);
            const int is = letter == n && memcmp(text + k, d->needle, n) == 0;
            if (!is)
                pawl_text_add_bytes(&out->text, text + k, letter);
            else if (i || !d->flag)
                pawl_text_add_bytes(&out->text, " ", 1);
            k += letter;
        }
        PAWL_TRY(pawl_texts_end(out));
    }
    return PAWL_OK;
}

static pawl_status strip(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out)
{
    const size_t n = strlen(d->needle);
    for (int64_t i = 0; i < in->count; i++) {
        size_t bytes, first = 0;
        const char *text = text_at(in, i, &bytes);
        for (int64_t k = 0; k < d->start && bytes - first >= n && memcmp(text + first, d->needle, n) == 0; k++)
            first += n;
        for (int64_t k = 0; k < d->stop && bytes - first >= n && memcmp(text + bytes - n, d->needle, n) == 0; k++)
            bytes -= n;
        pawl_text_add_bytes(&out->text, text + first, bytes - first);
        PAWL_TRY(pawl_texts_end(out));
    }
    return PAWL_OK;
}

static pawl_status replace(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out)
{
    const pawl_stage *s = &d->pattern;
    pawl_encoder *e = NULL;
    pawl_status status = PAWL_OK;
    PAWL_TRY_OUT(pawl_encoder_open(NULL, &e));
    for (int64_t i = 0; i < in->count; i++) {
        size_t bytes, kept = 0;
        const char *text = text_at(in, i, &bytes);
        pawl_finder f = {.stage = s, .encoder = e, .text = text, .bytes = (int64_t)bytes, .last_end = -1};
        for (int64_t first, end; bytes;) {
            PAWL_TRY_OUT(pawl_find(&f, &first, &end));
            if (first < 0) break;
            pawl_text_add_bytes(&out->text, text + kept, (size_t)first - kept);
            pawl_text_add_bytes(&out->text, s->content, s->content_bytes);
            kept = (size_t)end;
        }
        pawl_text_add_bytes(&out->text, text + kept, bytes - kept);
        PAWL_TRY_OUT(pawl_texts_end(out));
    }
out:
    pawl_encoder_close(e);
    return status;
}

/* The end of a word becomes a space, of the last one nothing. */
static pawl_status word_ends(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out)
{
    const size_t n = strlen(d->needle);
    for (int64_t i = 0; i < in->count; i++) {
        size_t bytes;
        const char *text = text_at(in, i, &bytes);
        for (size_t k = 0; k < bytes;) {
            const int is = n && bytes - k >= n && memcmp(text + k, d->needle, n) == 0;
            if (!is)
                pawl_text_add_bytes(&out->text, text + k, 1);
            else if (i + 1 < in->count)
                pawl_text_add_bytes(&out->text, " ", 1);
            k += is ? n : 1;
        }
        PAWL_TRY(pawl_texts_end(out));
    }
    return PAWL_OK;
}

/* ---- Reading them ---- */

static pawl_status open_metaspace(pawl_decoder_step *d, const json_t *part, const pawl_place *p)
{
    static const char *const schemes[] = {"always", "first", "never", NULL};
    const char *letter;
    int scheme, prefix;
    size_t bytes;
    PAWL_TRY(pawl_member_text(part, "replacement", p, 1, &letter));
    PAWL_TRY(pawl_member_choice(part, "prepend_scheme", p, schemes, 0, &scheme));
    PAWL_TRY(pawl_member_flag(part, "add_prefix_space", p, scheme != 2, &prefix));
    d->flag = prefix && scheme != 2;
    return pawl_copy_text(letter, &d->needle, &bytes);
}

static pawl_status open_strip(pawl_decoder_step *d, const json_t *part, const pawl_place *p)
{
    const char *letter;
    size_t bytes;
    PAWL_TRY(pawl_member_text(part, "content", p, 1, &letter));
    PAWL_TRY(pawl_member_count(part, "start", p, 1 << 30, &d->start));
    PAWL_TRY(pawl_member_count(part, "stop", p, 1 << 30, &d->stop));
    PAWL_REQUIRE(*letter, p, "expected one letter");
    return pawl_copy_text(letter, &d->needle, &bytes);
}

static pawl_status open_replace(pawl_decoder_step *d, const json_t *part, const pawl_place *p)
{
    const char *text;
    PAWL_TRY(pawl_pattern_open(&d->pattern, part, p));
    PAWL_TRY(pawl_member_text(part, "content", p, 1, &text));
    return pawl_copy_text(text, &d->pattern.content, &d->pattern.content_bytes);
}

static pawl_status open_word_ends(pawl_decoder_step *d, const json_t *part, const pawl_place *p)
{
    const char *suffix;
    size_t bytes;
    PAWL_TRY(pawl_member_text(part, "suffix", p, 1, &suffix));
    return pawl_copy_text(suffix, &d->needle, &bytes);
}

static const struct kind {
    const char *name;
    pawl_status (*open)(pawl_decoder_step *d, const json_t *part, const pawl_place *p);
    pawl_status (*run)(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out);
} kinds[] = {
    {"ByteLevel", NULL, byte_level},
    {"ByteFallback", NULL, byte_fallback},
    {"Fuse", NULL, fuse},
    {"Metaspace", open_metaspace, metaspace},
    {"Strip", open_strip, strip},
    {"Replace", open_replace, replace},
    {"BPEDecoder", open_word_ends, word_ends},
};

static pawl_status open_one(pawl_decoder_steps *d, const json_t *part, const char *type, const pawl_place *p)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].name) != 0) continue;
        PAWL_REQUIRE(d->count < PAWL_DECODERS_MAX, p, "more than %d decoders are not supported", PAWL_DECODERS_MAX);
        pawl_decoder_step *s = &d->steps[d->count++];
        s->run = kinds[i].run;
        return kinds[i].open ? kinds[i].open(s, part, p) : PAWL_OK;
    }
    return PAWL_REFUSE(p, "the decoder '%.40s' is not supported", type);
}

static pawl_status open_part(pawl_decoder_steps *d, const json_t *part, const pawl_place *p)
{
    const char *type;
    const json_t *list;
    PAWL_TRY(pawl_member_text(part, "type", p, 1, &type));
    if (strcmp(type, "Sequence") != 0) return open_one(d, part, type, p);
    PAWL_TRY(pawl_member_array(part, "decoders", p, &list));
    const pawl_place in = pawl_place_in(p, "decoders");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const pawl_place at = pawl_place_at(&in, i);
        PAWL_TRY(open_part(d, json_array_get(list, i), &at));
    }
    return PAWL_OK;
}

pawl_status pawl_decoder_steps_open(pawl_decoder_steps *d, const json_t *part, const pawl_place *p)
{
    d->absent = !part || json_is_null(part);
    return d->absent ? PAWL_OK : open_part(d, part, p);
}

void pawl_decoder_steps_close(pawl_decoder_steps *d)
{
    for (int i = 0; i < d->count; i++) {
        pawl_free(d->steps[i].needle);
        pawl_stage_close(&d->steps[i].pattern);
    }
}

pawl_status pawl_decoder_steps_run(const pawl_decoder_steps *d, pawl_texts *in, pawl_text *out)
{
    for (int i = 0; i < d->count; i++) {
        pawl_texts next = {0};
        const pawl_status s = d->steps[i].run(&d->steps[i], in, &next);
        pawl_texts_close(in);
        *in = next;
        PAWL_TRY(s);
    }
    for (int64_t i = 0; i < in->count; i++) {
        size_t bytes;
        const char *text = text_at(in, i, &bytes);
        if (d->absent && i) pawl_text_add_bytes(out, " ", 1);
        pawl_text_add_bytes(out, text, bytes);
    }
    return pawl_text_status(out);
}
