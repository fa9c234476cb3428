/* data/data.h - from files to the rows of a step: tokenizer, readers, packing, the prepared cache, the order of rows.
 *
 * Row: one sequence of at most sequence_len tokens, of one document or of several packed without leaks (decision 5).
 * Which row is the g-th of step t is a pure function of the run (decision 1): nothing is skipped on resume, we seek. */
#ifndef PAWL_DATA_DATA_H
#define PAWL_DATA_DATA_H

#include "comm/comm.h"
#include "core/batch.h"
#include "core/fields.h"
#include "core/hash.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_DATASETS_MAX = 64 };

extern const char *const pawl_dataset_types[]; /* "completion", "text", NULL */

/* clang-format off */
#define PAWL_DATASET_FIELDS(F, C, T)                                                                                           \
    T(path,    NULL, 1024, FIXED, "a .jsonl or text file, or a folder of them")                                                \
    C(type,    "completion", pawl_dataset_types, FIXED, "completion: JSONL rows with a text, or whole text files")             \
    T(field,   "text", 64, FIXED, "the key of a JSONL row that holds its text")                                                \
    T(split,   "",     64, FIXED, "a file (without its ending) or folder of that name in path; empty: all files")              \
    T(domain,  "",     64, FIXED, "name of the domain in figures and lineage; empty: the last part of path")                   \
    F(f64, weight, "1", 0, 1e6, "", FIXED, "how many times the rows count in an epoch of the mixture")                         \
    T(license, "",     64, FIXED, "SPDX identifier that lineage and releases carry")
/* clang-format on */
typedef struct pawl_dataset_config { PAWL_DATASET_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T) } pawl_dataset_config;
extern const pawl_field pawl_dataset_rows[];

/* clang-format off */
#define PAWL_DATA_FIELDS(F, C, T, L)                                                                                           \
    L(datasets,      pawl_dataset_config, PAWL_DATASETS_MAX, pawl_dataset_rows, FIXED, "what is learnt")                       \
    L(test_datasets, pawl_dataset_config, PAWL_DATASETS_MAX, pawl_dataset_rows, FIXED, "what is only measured, beside val_set_size") \
    F(f64, val_set_size, "0", 0, 0.9, "", FIXED, "share of each dataset's documents held out, chosen by content digest")       \
    T(tokenizer,     "", 1024, FIXED, "bytes, or a folder with tokenizer.json; empty: base_model's")                           \
    F(i64, sequence_len, "2048", 2, 1e7, "tokens", FIXED, "longest row")                                                       \
    F(flag, sample_packing, "true", 0, 1, "", FIXED, "pack documents into rows; attention stays inside each")                  \
    T(dataset_prepared_path, "", 1024, FREE, "folder of the prepared cache; empty: the user's cache folder")
/* clang-format on */
typedef struct pawl_data_config {
    PAWL_DATA_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T, PAWL_MEMBER_L)
} pawl_data_config;
extern const pawl_field pawl_data_rows[];

/* ---- Tokenizer ---- */
/* Immutable once open: any number of threads may encode with one, each with a pawl_encoding of its own. */
typedef struct pawl_tokenizer pawl_tokenizer;
/* spec: "bytes", or a folder with tokenizer.json (Hugging Face's tokenizers; model BPE). Errors: EDATA for what is not
 * supported or malformed, naming the file and the JSON path. */
PAWL_MUST pawl_status pawl_tokenizer_open(const char *spec, pawl_tokenizer **out);
void pawl_tokenizer_close(pawl_tokenizer *t);
int32_t pawl_tokenizer_size(const pawl_tokenizer *t); /* the highest id + 1; a model's vocab_size may be larger */
/* eos_token and bos_token of tokenizer_config.json, else eos_token_id (the first of a list) and bos_token_id of
 * generation_config.json, then config.json; -1: there is none. */
int32_t pawl_tokenizer_end(const pawl_tokenizer *t);
int32_t pawl_tokenizer_begin(const pawl_tokenizer *t);
/* The id of an added token or, else, a vocabulary entry with exactly this content; -1. */
int32_t pawl_tokenizer_id(const pawl_tokenizer *t, const char *content);
/* The other way: as it stands in the file (vocabularies of bytes write bytes in letters of their own); NULL: no such id. */
const char *pawl_tokenizer_content(const pawl_tokenizer *t, int32_t id);
/* Over all that determines ids, and the ids that end and begin a text. */
pawl_digest pawl_tokenizer_digest(const pawl_tokenizer *t);

/* Ids of a text; start it as {0} and use it for many texts: it keeps what the tokenizer learns about words on the way. */
typedef struct pawl_encoding {
    int32_t *ids;
    int64_t *at; /* byte of the original text at which the token begins; -1: added by the post-processor */
    int64_t count, room;
    struct pawl_encoder *encoder; /* scratch, and a cache of words */
} pawl_encoding;

typedef enum pawl_specials {
    PAWL_WITHOUT_SPECIALS, /* Hugging Face's add_special_tokens=False */
    PAWL_WITH_SPECIALS,    /* =True: what the post-processor adds (a begin token, say) */
    PAWL_RAW_TEXT          /* as PAWL_WITH_SPECIALS; but where the tokenizer is `bytes`, text that spells <|endoftext|> stays
                              thirteen bytes, so that a raw document cannot end another */
} pawl_specials;

/* Replaces out's content. Text is UTF-8, NUL allowed; broken UTF-8 is EDATA, except that `bytes` takes any bytes.
 * Time is linear in bytes but for a logarithm in the longest word. */
PAWL_MUST pawl_status pawl_encode(const pawl_tokenizer *t, const char *text, size_t bytes, pawl_specials s, pawl_encoding *out);
void pawl_encoding_close(pawl_encoding *e);
/* Appends the text of ids, as Hugging Face's decode (without clean_up_tokenization_spaces); ids that are none have no
 * text. A token that holds part of a character gives U+FFFD; `bytes` gives the bytes as they are. */
PAWL_MUST pawl_status pawl_decode(const pawl_tokenizer *t, const int32_t *ids, int64_t count, int skip_specials, pawl_text *out);
/* Writes tokenizer.json, tokenizer_config.json and what else belongs to them, byte for byte as they were read; `bytes`
 * writes its own, with which Hugging Face's tokenizers computes the same ids. */
PAWL_MUST pawl_status pawl_tokenizer_save(const pawl_tokenizer *t, const char *dir);

/* ---- Prepared data ---- */
typedef struct pawl_data pawl_data;

/* Which rows: what is trained, or what is held out and measured. */
typedef enum pawl_part { PAWL_TRAIN, PAWL_HELD_OUT } pawl_part;

/* Collective. Finds or makes the prepared form of every dataset in the cache (key: digests of data, tokenizer and
 * settings; made in a folder of its own and renamed, so two jobs may prepare at once) and maps it. Rank 0 prepares and
 * the others wait: the caller says with pawl_watch for how long. cache: the folder to use when dataset_prepared_path is
 * empty. Stops early with *stopped = 1, and out untouched, when pawl_stop_asked is set on rank 0.
 * Errors: EDATA naming FILE:LINE:COL, or a dataset without rows; EIO. */
PAWL_MUST pawl_status pawl_data_open(pawl_comm *c, const pawl_data_config *cfg, const pawl_tokenizer *t, uint64_t seed,
                                     const char *cache, pawl_data **out, int *stopped);
void pawl_data_close(pawl_data *d);

/* Domains: the datasets with rows to train (PAWL_TRAIN: one per entry of datasets), or to measure (PAWL_HELD_OUT: held
 * out of datasets, then test_datasets; entries of one domain name are one domain). */
int pawl_data_domains(const pawl_data *d, pawl_part part);
const char *pawl_data_domain(const pawl_data *d, pawl_part part, int domain);
int64_t pawl_data_rows_of(const pawl_data *d, pawl_part part, int domain);

typedef struct pawl_row { int32_t domain; int64_t index; } pawl_row;

/* Rows in an epoch of the mixture: the sum over datasets of round(weight x rows). */
int64_t pawl_data_epoch_rows(const pawl_data *d);
/* The row at running counter `at` (>= 0) of the stream of new rows: epoch e = at / epoch_rows has its own permutation,
 * and each dataset its own order per pass over it. Pure; O(1). */
pawl_row pawl_data_row_at(const pawl_data *d, int64_t at);
/* Trained tokens, positions in use (the rest of a packed row is padding) and bytes of text that the trained tokens stand for. */
int64_t pawl_row_trained(const pawl_data *d, pawl_part part, pawl_row r);
int64_t pawl_row_length(const pawl_data *d, pawl_part part, pawl_row r);
int64_t pawl_row_bytes(const pawl_data *d, pawl_part part, pawl_row r);
/* "domain row 17 (file.jsonl:12, file.jsonl:40)". */
void pawl_row_describe(const pawl_data *d, pawl_part part, pawl_row r, char *out, size_t room);

/* T of a slot of these rows: sequence_len when packed; else the longest row, rounded up to a multiple of 32 (at most
 * sequence_len). A function of the slot's rows alone. */
int64_t pawl_slot_tokens(const pawl_data *d, pawl_part part, const pawl_row *rows, int64_t count);
/* The largest T that pawl_slot_tokens gives for any rows of this data (what memory is planned for). */
int64_t pawl_data_longest(const pawl_data *d);
/* Fills b->rows = count, b->tokens as above, and the arrays. */
void pawl_slot_fill(const pawl_data *d, pawl_part part, const pawl_row *rows, int64_t count, pawl_batch *b);

/* For lineage, an object for each of datasets, then of test_datasets: {domain, path, license, weight, use: "learnt" |
 * "measured", files: [{name, bytes, sha256}], documents, tokens, rows, held_out: {documents, tokens, rows}}. The counts
 * in the object itself are those of what is trained. */
PAWL_MUST pawl_status pawl_data_lineage(const pawl_data *d, json_t **out);
/* For the start screen: a line per dataset. */
void pawl_data_report(const pawl_data *d, pawl_text *out);

#ifdef __cplusplus
}
#endif
#endif
