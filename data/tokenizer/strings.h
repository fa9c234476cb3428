/* data/tokenizer/strings.h - texts by id and ids by text. */
#ifndef PAWL_DATA_TOKENIZER_STRINGS_H
#define PAWL_DATA_TOKENIZER_STRINGS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"

typedef struct pawl_strings {
    char *text; /* all of them, a NUL behind each */
    size_t bytes, room;
    struct pawl_string {
        size_t from;
        uint32_t bytes;
        uint32_t taken;
    } * items; /* [size], by id; ids may have holes */
    int32_t size, items_room;
    int32_t count;
    uint32_t *slots; /* [mask + 1], id + 1; 0: free */
    uint64_t mask;
} pawl_strings;

/* The last bytes, 1 to 8 of them, as a number: equal for equal texts of a length, which is all that a hash needs. */
static inline uint64_t pawl_tail_of(const char *text, size_t bytes)
{
    uint32_t low, high;
    if (bytes < 4)
        return (uint64_t)(uint8_t)text[0] | (uint64_t)(uint8_t)text[bytes / 2] << 8 |
               (uint64_t)(uint8_t)text[bytes - 1] << 16;
    memcpy(&low, text, 4);
    memcpy(&high, text + bytes - 4, 4);
    return low | (uint64_t)high << 32;
}

static inline uint64_t pawl_hash_bytes(const char *text, size_t bytes)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ bytes, w;
    for (; bytes > 8; text += 8, bytes -= 8) {
        memcpy(&w, text, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    if (bytes) h = (h ^ pawl_tail_of(text, bytes)) * 0xff51afd7ed558ccdu;
    h ^= h >> 29;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 32;
}

/* Adds text under id, which has none yet. A text that is there already keeps the id it had. */
PAWL_MUST pawl_status pawl_strings_add(pawl_strings *s, int32_t id, const char *text, size_t bytes);
int32_t pawl_strings_find(const pawl_strings *s, const char *text, size_t bytes); /* -1: none */
const char *pawl_strings_text(const pawl_strings *s, int32_t id, size_t *bytes);  /* NULL: no such id */
void pawl_strings_close(pawl_strings *s);

#endif
