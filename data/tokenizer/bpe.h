/* data/tokenizer/bpe.h - the model: byte pair encoding over letters, or over bytes where the last pre-tokenizer is
 * ByteLevel (then no text is rewritten into letters for bytes). */
#ifndef PAWL_DATA_TOKENIZER_BPE_H
#define PAWL_DATA_TOKENIZER_BPE_H

#include "data/data.h"
#include "data/tokenizer/place.h"
#include "data/tokenizer/strings.h"

enum { PAWL_ID_MOST = 1 << 24 }; /* ids are below this: tables have a row for each */

typedef struct pawl_merge {
    uint32_t left, right, rank, id;
} pawl_merge; /* id UINT32_MAX: a free slot */

typedef struct pawl_bpe {
    pawl_strings vocabulary; /* as in the file */
    pawl_strings raw;        /* bytes mode and ignore_merges: vocabulary in bytes */
    pawl_merge *merges;      /* [merge_mask + 1] */
    uint64_t merge_mask;
    int64_t merge_count;
    uint64_t *joints; /* [joint_mask + 1], left << 32 | right of the letters between which some merge joins; ~0: free */
    uint64_t joint_mask;
    uint8_t *byte_joints;     /* bytes mode: the same as bits [256][256] */
    int32_t byte_id[256];     /* bytes mode: of each byte; -1: none */
    int32_t *letter_id;       /* [65536] of each letter of the Basic Multilingual Plane; -1: none */
    int32_t fallback_id[256]; /* of <0x00> ... <0xFF>; -1: none */
    int32_t unknown;          /* of unk_token; -1: none */
    char *prefix, *suffix;    /* continuing_subword_prefix, end_of_word_suffix; NULL: none */
    int fuse_unknown, byte_fallback, ignore_merges;
    int of_bytes; /* bytes mode */
    int cuttable; /* words may be cut where no merge joins */
} pawl_bpe;

PAWL_MUST pawl_status pawl_bpe_open(pawl_bpe *b, const json_t *model, const pawl_place *place);
/* The last pre-tokenizer writes letters for bytes: leave that out if the vocabulary has them all (of_bytes is 1 then).
 */
PAWL_MUST pawl_status pawl_bpe_take_bytes(pawl_bpe *b);
void pawl_bpe_close(pawl_bpe *b);
/* Whether some merge makes one token of what ends in the one letter and what begins with the other (ids). */
int pawl_bpe_joins(const pawl_bpe *b, int32_t left, int32_t right);

static inline const pawl_merge *pawl_merge_of(const pawl_bpe *b, uint32_t left, uint32_t right)
{
    uint64_t at = (left * 0x9e3779b97f4a7c15u) ^ (right * 0xc2b2ae3d27d4eb4fu);
    at = (at ^ at >> 31) & b->merge_mask;
    while (b->merges[at].id != UINT32_MAX) {
        const pawl_merge *m = &b->merges[at];
        if (m->left == left && m->right == right) return m;
        at = (at + 1) & b->merge_mask;
    }
    return NULL;
}

/* The letter that byte-level vocabularies write for a byte (GPT-2): itself where it is printable in Latin-1, else the
 * next unused one from U+0100 on. Bytes into out (2 at most, no NUL); the other way: -1 for a letter that stands for
 * none. */
int pawl_byte_letter(int byte, char out[2]);
int pawl_letter_byte(uint32_t point);

/* ---- Merging (merge.c) ---- */
enum { PAWL_WORD_BYTES = 22, PAWL_WORD_TOKENS = 6, PAWL_WORDS = 1 << 15 };
#define PAWL_GONE UINT32_MAX

typedef struct pawl_word { /* a cache line: a short word and its tokens */
    uint64_t hash;
    uint8_t bytes, tokens;
    char text[PAWL_WORD_BYTES];
    uint8_t at[PAWL_WORD_TOKENS];
    int32_t ids[PAWL_WORD_TOKENS];
} pawl_word;

typedef struct pawl_merger {
    struct pawl_symbol {
        uint32_t id, at;
        int32_t before, after;
    } * symbols; /* id PAWL_GONE: merged away */
    int64_t count, room;
    struct pawl_candidate {
        uint64_t rank_place;
        uint32_t id;
    } * heap;
    int64_t heap_count, heap_room;
    pawl_word *words; /* [PAWL_WORDS] */
} pawl_merger;

struct pawl_stretch;
/* Gives the tokens of a piece, which is not empty, to out. */
PAWL_MUST pawl_status pawl_bpe_encode(const pawl_bpe *b, pawl_merger *m, const struct pawl_stretch *piece,
                                      pawl_encoding *out);
void pawl_merger_close(pawl_merger *m);

#endif
