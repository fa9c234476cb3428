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

enum { PAWL_DATASETS_MAX = 64, PAWL_ROLES_MAX = 8, PAWL_MIXTURES_MAX = 32 };

/* What the rows of a dataset are (data/sample.h); the order is that of the names. */
typedef enum pawl_dataset_type {
    PAWL_COMPLETION,
    PAWL_PLAIN_TEXT,
    PAWL_ALPACA,
    PAWL_CHAT,
    PAWL_CHAT_TEMPLATE, /* Axolotl's name of chat */
    PAWL_PROMPT_COMPLETION,
    PAWL_INPUT_OUTPUT,
    PAWL_CHOICES /* questions that are measured, never learnt */
} pawl_dataset_type;
extern const char *const pawl_dataset_types[]; /* "completion", "text", ..., NULL */

/* What becomes of a row that is longer than sequence_len (Axolotl's names, and split). */
typedef enum pawl_excess { PAWL_EXCESS_DROP, PAWL_EXCESS_TRUNCATE, PAWL_EXCESS_RAISE, PAWL_EXCESS_SPLIT } pawl_excess;
extern const char *const pawl_excess_names[];

typedef enum pawl_train_on {
    PAWL_TRAIN_ON_TURN,
    PAWL_TRAIN_ON_ALL,
    PAWL_TRAIN_ON_LAST,
    PAWL_TRAIN_ON_NONE
} pawl_train_on;
extern const char *const pawl_train_on_names[]; /* "turn", "all", "last", "none", NULL */

/* clang-format off */
#define PAWL_MESSAGE_FIELDS(T)                                                                                                 \
    T(role,    "role",    64, FIXED, "the key that says who speaks")                                                           \
    T(content, "content", 64, FIXED, "the key that holds what is said")

#define PAWL_ROLE_FIELDS(W)                                                                                                    \
    W(user,      "", PAWL_ROLES_MAX, 32, FIXED, "what the data call the user")                                                 \
    W(assistant, "", PAWL_ROLES_MAX, 32, FIXED, "what the data call the assistant")                                            \
    W(system,    "", PAWL_ROLES_MAX, 32, FIXED, "what the data call the system")                                               \
    W(tool,      "", PAWL_ROLES_MAX, 32, FIXED, "what the data call a tool")

/* clang-format on */
typedef struct pawl_message_fields {
    PAWL_MESSAGE_FIELDS(PAWL_MEMBER_T)
} pawl_message_fields;
typedef struct pawl_role_names {
    PAWL_ROLE_FIELDS(PAWL_MEMBER_W)
} pawl_role_names;
extern const pawl_field pawl_message_rows[], pawl_role_rows[];

/* clang-format off */
#define PAWL_DATASET_FIELDS(F, C, T, W, R)                                                                                     \
    T(path,    NULL, 1024, FIXED, "a .jsonl, .json or text file, each also as .gz; a folder of them, or a pattern like data/**/*.jsonl")                                                \
    C(type,    "completion", pawl_dataset_types, FIXED, "completion: JSONL rows with a text, or whole text files; text: whole files; alpaca: instruction, input, output; chat (or chat_template): messages; prompt_completion: two texts or lists of messages; input_output: segments; choices: questions with choices, in test_datasets") \
    T(field,   "text", 64, FIXED, "completion: the key of a row's text")                                                       \
    T(field_instruction, "instruction", 64, FIXED, "alpaca: the key of the instruction")                                       \
    T(field_input,   "input",  64, FIXED, "alpaca: the key of the input; a row may lack it")                                   \
    T(field_output,  "output", 64, FIXED, "alpaca: the key of the answer")                                                     \
    T(field_system,  "system", 64, FIXED, "alpaca and chat: the key of a system text beside the others; a row may lack it")    \
    T(field_prompt,  "prompt", 64, FIXED, "prompt_completion and choices: the key of what is given; where rows of choices lack it, question is read") \
    T(field_completion, "completion", 64, FIXED, "prompt_completion: the key of what is learnt")                               \
    T(field_choices, "choices", 64, FIXED, "choices: the key of the list of texts to choose from, or of an object with lists text and label") \
    T(field_answer,  "answer", 64, FIXED, "choices: the key of the right one: its index from 0, its letter from A, or its label") \
    T(choice_delimiter, " ", 64, FIXED, "choices: what stands between a prompt and a choice; behind a chat template nothing does") \
    F(flag, apply_chat_template, "false", 0, 1, "", FIXED, "choices: a prompt that is a text is put into the chat template as what the user says; one that is a list of messages always is") \
    T(field_messages, "", 64, FIXED, "chat: the key of the list of messages; empty: messages or conversations")                \
    T(field_tools,   "tools", 64, FIXED, "chat: the key of the tools' descriptions, for the template; a row may lack it")      \
    R(message_property_mappings, pawl_message_fields, pawl_message_rows, FIXED, "chat: keys of a message; null: role and content, or from and value") \
    R(roles, pawl_role_names, pawl_role_rows, FIXED, "chat: names of the roles in the data; null: user or human, assistant or gpt or model, system, tool") \
    W(roles_to_train, "assistant", PAWL_ROLES_MAX, 32, FIXED, "chat: whose messages are trained")                              \
    C(train_on_eos, "turn", pawl_train_on_names, FIXED, "chat: which ends of turns are trained: of trained turns, of all, the last, none") \
    T(message_field_training, "", 64, FIXED, "chat: the key of a message that says by true or false whether it is trained; empty: roles_to_train alone") \
    F(flag, drop_system_message, "false", 0, 1, "", FIXED, "chat: leave system messages out")                                  \
    T(chat_template, "", 64, FIXED, "as chat_template of the run, for this dataset; empty: the run's")                         \
    T(chat_template_jinja, "", 1024, FIXED, "as chat_template_jinja of the run, for this dataset")                             \
    T(split,   "",     64, FIXED, "a file (without its ending) or folder of that name in path; empty: all files")              \
    T(domain,  "",     64, FIXED, "name of the domain in figures and lineage; empty: the last part of path")                   \
    F(f64, weight, "1", 0, 1e6, "", FIXED, "how many times the rows count in an epoch of the mixture")                         \
    T(license, "",     64, FIXED, "SPDX identifier that the lineage of checkpoints carries")
/* clang-format on */
typedef struct pawl_dataset_config {
    PAWL_DATASET_FIELDS(PAWL_MEMBER_F, PAWL_MEMBER_C, PAWL_MEMBER_T, PAWL_MEMBER_W, PAWL_MEMBER_R)
} pawl_dataset_config;
extern const pawl_field pawl_dataset_rows[];

/* clang-format off */
#define PAWL_DATA_FIELDS(F, C, T, L)                                                                                           \
    L(datasets,      pawl_dataset_config, PAWL_DATASETS_MAX, pawl_dataset_rows, FIXED, "what is learnt")                       \
    L(test_datasets, pawl_dataset_config, PAWL_DATASETS_MAX, pawl_dataset_rows, FIXED, "what is only measured, beside val_set_size") \
    F(f64, val_set_size, "0", 0, 0.9, "", FIXED, "share of each dataset's documents held out, chosen by content digest")       \
    T(chat_template, "", 64, FIXED, "chatml, llama3, mistral, gemma, zephyr, alpaca, smollm2; tokenizer_default: the tokenizer's own; tokenizer_default_fallback_NAME: that, or NAME when it has none; jinja: chat_template_jinja; empty: jinja when that is given, else tokenizer_default") \
    T(chat_template_jinja, "", 4096, FIXED, "a Jinja template, or the path of a file that holds one")                          \
    T(chat_template_kwargs, "", 1024, FIXED, "a JSON object of more variables for the template, as text, like {\"enable_thinking\": false}") \
    T(chat_template_date, "2024-07-26", 16, FIXED, "the day, YYYY-MM-DD, that templates take for today: fixed, so that equal data give equal rows") \
    F(flag, train_on_inputs, "false", 0, 1, "", FIXED, "train on prompts too, not on answers alone")                           \
    T(tokenizer,     "", 1024, FIXED, "bytes, a folder with tokenizer.json, or a GGUF file; empty: base_model's")                           \
    F(i64, sequence_len, "2048", 2, 1e7, "tokens", FIXED, "longest row")                                                       \
    C(excess_length_strategy, "drop", pawl_excess_names, FIXED, "a row longer than sequence_len is: dropped; truncated; an error (raise); split into segments, as documents of type completion and text always are") \
    F(i64, skip_bad_rows, "0", 0, 1e15, "rows", FREE, "bad rows of each dataset that are passed over and reported; more are an error") \
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
/* The other way: as it stands in the file (vocabularies of bytes write bytes in letters of their own); NULL: no such
 * id. */
const char *pawl_tokenizer_content(const pawl_tokenizer *t, int32_t id);
/* Over all that determines ids, and the ids that end and begin a text. */
pawl_digest pawl_tokenizer_digest(const pawl_tokenizer *t);

/* Ids of a text; start it as {0} and use it for many texts: it keeps what the tokenizer learns about words on the way.
 */
typedef struct pawl_encoding {
    int32_t *ids;
    int64_t *at; /* byte of the original text at which the token begins, never less than that of a token before;
                    -1: added by the post-processor */
    int64_t count, room;
    struct pawl_encoder *encoder; /* scratch, and a cache of words */
} pawl_encoding;

typedef enum pawl_specials {
    PAWL_WITHOUT_SPECIALS, /* Hugging Face's add_special_tokens=False */
    PAWL_WITH_SPECIALS,    /* =True: what the post-processor adds (a begin token, say) */
    PAWL_RAW_TEXT /* as PAWL_WITH_SPECIALS; but where the tokenizer is `bytes`, text that spells <|endoftext|> stays
                     thirteen bytes, so that a raw document cannot end another */
} pawl_specials;

/* Replaces out's content. Text is UTF-8, NUL allowed; broken UTF-8 is EDATA, except that `bytes` takes any bytes.
 * Time is linear in bytes but for a logarithm in the longest word. */
PAWL_MUST pawl_status pawl_encode(const pawl_tokenizer *t, const char *text, size_t bytes, pawl_specials s,
                                  pawl_encoding *out);
void pawl_encoding_close(pawl_encoding *e);
/* Appends the text of ids, as Hugging Face's decode (without clean_up_tokenization_spaces); ids that are none have no
 * text. A token that holds part of a character gives U+FFFD; `bytes` gives the bytes as they are. */
PAWL_MUST pawl_status pawl_decode(const pawl_tokenizer *t, const int32_t *ids, int64_t count, int skip_specials,
                                  pawl_text *out);
/* Writes tokenizer.json, tokenizer_config.json and what else belongs to them, byte for byte as they were read; `bytes`
 * writes its own, with which Hugging Face's tokenizers computes the same ids. */
PAWL_MUST pawl_status pawl_tokenizer_save(const pawl_tokenizer *t, const char *dir);

/* ---- Rows as text ---- */
typedef struct pawl_span {
    int64_t first, end;
} pawl_span; /* bytes [first, end) of a text */

/* A row as the text that the model reads, and which of it is learnt. Start it as {0} and use it for many rows. */
typedef struct pawl_sample {
    pawl_text text;     /* UTF-8 without NUL */
    pawl_span *trained; /* [count], in order, apart from each other; the last may be empty, at the text's end */
    int64_t count, room;
    pawl_specials specials; /* what the tokenizer is to add */
    int with_end; /* 1: the tokenizer's end follows the text; learnt when the last span reaches the text's end */
    int toolless; /* 1: the row has tools, or calls some, of which the chat template writes nothing */
} pawl_sample;
void pawl_sample_close(pawl_sample *s);

typedef struct pawl_renderer pawl_renderer;
/* For rows of dataset's type. tokenizer: where t was opened (its folder's chat template is read), or NULL; t may be
 * NULL, then named templates write the marks that they are published with. Both must outlive the renderer, and so must
 * the configurations. Any number of threads may render with one, each into a sample of its own. Local. Errors: EUSAGE
 * for a template that is not there or not understood, by its line; EIO. */
PAWL_MUST pawl_status pawl_renderer_open(const pawl_data_config *cfg, const pawl_dataset_config *dataset,
                                         const char *tokenizer, const pawl_tokenizer *t, pawl_renderer **out);
void pawl_renderer_close(pawl_renderer *r);
/* Replaces out's content with the row's. Errors: EDATA, a sentence without file and line: the reader knows them. */
PAWL_MUST pawl_status pawl_render(const pawl_renderer *r, const json_t *row, pawl_sample *out);
/* The same for a whole file (types completion and text). */
PAWL_MUST pawl_status pawl_render_text(const char *text, size_t bytes, pawl_sample *out);
/* Over all that determines what the renderer writes and trains; part of the prepared data's key. */
pawl_digest pawl_renderer_digest(const pawl_renderer *r);
/* Leaves in dir, a tokenizer's folder, the template that choice and inline_text name (chat_template and chat_template_jinja),
 * as chat_template.jinja, which Hugging Face's tools read first; nothing when it is the folder's own. Errors: EUSAGE, EIO. */
PAWL_MUST pawl_status pawl_chat_template_save(const char *choice, const char *inline_text, const char *dir);
/* What stands for the tokenizer's end in the text ("" when there is none). */
const char *pawl_renderer_eos(const pawl_renderer *r);

/* Ids of a conversation (a row as chats have it) up to where the answer begins. Replaces out's content. Errors: as pawl_render's. */
PAWL_MUST pawl_status pawl_encode_question(const pawl_renderer *r, const pawl_tokenizer *t, const json_t *row, pawl_encoding *out);
/* The special token that ends an answer as r, a renderer of chats, writes it; -1: the tokenizer's own end alone. */
PAWL_MUST pawl_status pawl_answer_end(const pawl_renderer *r, const pawl_tokenizer *t, int32_t *id);

/* ---- Recorded prompts: what texts of a model begin with (prompts.c) ---- */
typedef struct pawl_prompt {
    const int32_t *ids; /* [count], at least one */
    int64_t count, line; /* line: from 1; 0 where there is no file */
    int32_t source, end; /* its file; the token that ends an answer to it beside the tokenizer's own end, or -1 */
} pawl_prompt;
typedef struct pawl_prompts pawl_prompts;
/* Rows {"prompt": a text or a list of messages}, or conversations as datasets of type chat have them, of path (as a dataset's), in its order; "": one prompt, with which a
 * text begins. tokenizer_spec: where t was opened, for its chat template. Prompts of more than `longest` tokens are an error. Rank 0 reads.
 * Collective. Errors: EDATA as FILE:LINE:COL; EUSAGE for chats without a template; EIO. When pawl_stop_asked meanwhile, there may be none. */
PAWL_MUST pawl_status pawl_prompts_open(pawl_comm *c, const pawl_data_config *cfg, const char *path, const char *tokenizer_spec,
                                        const pawl_tokenizer *t, int64_t longest, pawl_prompts **out);
void pawl_prompts_close(pawl_prompts *p);
int64_t pawl_prompts_count(const pawl_prompts *p);
pawl_prompt pawl_prompts_at(const pawl_prompts *p, int64_t i);
/* [{name, bytes, sha256}] of the files; borrowed. */
const json_t *pawl_prompts_sources(const pawl_prompts *p);

/* Writes the tokenizer of a GGUF file into dir as tokenizer.json and tokenizer_config.json: byte-level vocabularies with the
 * rule of tokenizer.ggml.pre, and sentencepiece-style ones, whose merges their scores imply; special tokens, what is added
 * around texts, the chat template. Errors: EDATA naming file and key of what is not supported or not sound. */
struct pawl_gguf; /* core/gguf.h */
PAWL_MUST pawl_status pawl_tokenizer_import_gguf(const struct pawl_gguf *g, const char *dir);

/* ---- Prepared data ---- */
typedef struct pawl_data pawl_data;

/* Which rows: what is trained, what is held out and measured, or the choices of questions: a row a choice, behind its prompt. */
typedef enum pawl_part { PAWL_TRAIN, PAWL_HELD_OUT, PAWL_CHOICE_ROWS } pawl_part;

/* 1 when there is a file, a folder, or a file that matches. */
int pawl_dataset_is_there(const pawl_dataset_config *d);
/* 1 when files of these names (a NULL ends them), written below the folder dir, would be read as the dataset's: dir, which need not
 * be there, lies in the folder that is its path, or below that of a pattern with `**` which matches one of the names. */
int pawl_dataset_reads_in(const pawl_dataset_config *d, const char *dir, const char *const *names);

/* Datasets of one purpose. */
typedef struct pawl_data_group {
    const pawl_dataset_config *items;
    int count;
} pawl_data_group;

typedef struct pawl_data_inputs {
    const pawl_data_config *config;
    const pawl_data_group *mixtures; /* what is learnt in each stage; NULL: config's datasets, in one */
    int mixture_count;
    pawl_data_group general; /* read as what is learnt is, but in no mixture: known before; or none */
    const pawl_tokenizer *tokenizer;
    const char *tokenizer_spec; /* what the tokenizer was opened with, for its chat template; NULL: none */
    uint64_t seed;
    const char *cache; /* the folder to use when dataset_prepared_path is empty */
    /* Called on rank 0 now and then: `done` of `all` bytes of domain `domain` are `what` ("checked", "prepared"). NULL:
     * nobody is told. */
    void (*progress)(const char *what, const char *domain, int64_t done, int64_t all);
} pawl_data_inputs;

/* Collective. Finds or makes the prepared form of every dataset in the cache (key: digests of data, tokenizer, renderer
 * and settings; made in a folder of its own and renamed, so two jobs may prepare at once) and maps it. All ranks that
 * see the files and the folder prepare; what they make is the same for any number of them. The caller says with
 * pawl_watch how long a rank may show no sign of life. Stops early with *stopped = 1, and out untouched, when
 * pawl_stop_asked is set on any rank. Errors: EDATA naming FILE:LINE:COL, or a dataset without rows; EIO. */
PAWL_MUST pawl_status pawl_data_open(pawl_comm *c, const pawl_data_inputs *in, pawl_data **out, int *stopped);
void pawl_data_close(pawl_data *d);

/* Domains: the datasets with rows to train (PAWL_TRAIN: one per entry, mixture after mixture, then the general ones), or to
 * measure (PAWL_HELD_OUT: held out of those, then test_datasets; entries of one domain name are one domain, and what is there
 * twice with the same documents is measured once). PAWL_CHOICE_ROWS has the domains of PAWL_HELD_OUT: one of them may have texts, or
 * questions, or both. */
int pawl_data_domains(const pawl_data *d, pawl_part part);
const char *pawl_data_domain(const pawl_data *d, pawl_part part, int domain);
int64_t pawl_data_rows_of(const pawl_data *d, pawl_part part, int domain);

typedef struct pawl_row {
    int32_t domain;
    int64_t index;
} pawl_row;

/* Mixtures, one a stage. The training domains of one are [*first, *end); those of the general data. */
int pawl_data_mixtures(const pawl_data *d);
void pawl_data_mixture(const pawl_data *d, int stage, int *first, int *end);
void pawl_data_general(const pawl_data *d, int *first, int *end);
/* Rows in an epoch of the stage's mixture: the sum over its datasets of round(weight x rows). */
int64_t pawl_data_epoch_rows(const pawl_data *d, int stage);
/* The row at running counter `at` (>= 0) of the stage's new rows: epoch e = at / epoch_rows has its own permutation,
 * and each dataset its own order per pass over it. Pure; O(1). */
pawl_row pawl_data_row_at(const pawl_data *d, int stage, int64_t at);
/* Trained targets, positions in use (the rest of a packed row is padding) and bytes of text that the trained tokens
 * stand for. */
int64_t pawl_row_trained(const pawl_data *d, pawl_part part, pawl_row r);
int64_t pawl_row_length(const pawl_data *d, pawl_part part, pawl_row r);
int64_t pawl_row_bytes(const pawl_data *d, pawl_part part, pawl_row r);
/* What a row of PAWL_CHOICE_ROWS is. The rows of a question follow one another, choice after choice. */
typedef struct pawl_choice {
    int32_t index, count; /* which of its question's, and how many those are; count 0: no choice */
    int32_t right;        /* 1: the answer */
    int32_t bytes;        /* of its own text, without what stands before it */
} pawl_choice;
pawl_choice pawl_row_choice(const pawl_data *d, pawl_row r);
int64_t pawl_data_questions(const pawl_data *d, int domain);
/* "domain row 17 (file.jsonl:12, file.jsonl:40)". */
void pawl_row_describe(const pawl_data *d, pawl_part part, pawl_row r, char *out, size_t room);

/* {ids, labels, positions: as the model is given them, without padding; documents: [{domain, source, first, end, trained}]; of a choice:
 * choice: {index, count, right, bytes}}.
 * labels in Hugging Face's place: the id of a token that is predicted and trained, else -100. json_decref it. */
PAWL_MUST pawl_status pawl_row_json(const pawl_data *d, pawl_part part, pawl_row r, json_t **out);

/* T of a slot of these rows: sequence_len when packed (choices never are); else the longest row, rounded up to a multiple of 32 (at most
 * sequence_len). A function of the slot's rows alone. */
int64_t pawl_slot_tokens(const pawl_data *d, pawl_part part, const pawl_row *rows, int64_t count);
/* The largest T that pawl_slot_tokens gives for any rows of this data (what memory is planned for). */
int64_t pawl_data_longest(const pawl_data *d);
/* One row of a batch whose tokens are set. */
void pawl_row_fill(const pawl_data *d, pawl_part part, pawl_row r, pawl_batch *b, int64_t row);
/* Fills b->rows = count, b->tokens as above, and the arrays. */
void pawl_slot_fill(const pawl_data *d, pawl_part part, const pawl_row *rows, int64_t count, pawl_batch *b);

/* ---- Rows by themselves: to be kept and used again without the data ---- */
/* What a segment of a row came from. document: the content digest that stands for its text (half of a SHA-256). chunk: which of the
 * pieces that the document was cut into. source: index of its file in the dataset's list of files. */
typedef struct pawl_provenance {
    uint8_t document[16];
    int64_t chunk, line; /* line: from 1; 0 for a whole file */
    int32_t source, tokens, trained, bytes;
} pawl_provenance;
int64_t pawl_row_segments(const pawl_data *d, pawl_part part, pawl_row r);
/* Segment k of a row. */
pawl_provenance pawl_row_provenance(const pawl_data *d, pawl_part part, pawl_row r, int64_t k);
/* {name, bytes, sha256} of a file of a training dataset; borrowed. */
const json_t *pawl_data_source(const pawl_data *d, int dataset, int32_t source);
const char *pawl_data_license(const pawl_data *d, int dataset);
/* 1 when ids need 32 bits: tokens of such data are u32, else u16. */
int pawl_data_wide(const pawl_data *d);

/* A row's tokens: u16 or u32; a bit a token, the lowest of a byte first, 1 when it is trained; and the lengths of its segments, every
 * `segment_step` bytes an i64. */
typedef struct pawl_row_tokens {
    const void *tokens;
    const uint8_t *trained;
    const void *segments;
    int64_t segment_count, segment_step;
    int wide;
} pawl_row_tokens;
/* Copies a row's tokens ([pawl_row_length]) and bits (whole bytes, those behind the end 0). */
void pawl_row_copy(const pawl_data *d, pawl_part part, pawl_row r, void *tokens, uint8_t *trained);
/* Puts such a row into row `row` of a batch whose tokens are set: exactly what pawl_slot_fill puts there for the row it was. */
void pawl_row_put(const pawl_row_tokens *r, pawl_batch *b, int64_t row);
/* pawl_slot_tokens for rows of which the longest is that long. */
int64_t pawl_slot_tokens_for(const pawl_data *d, int64_t longest);

/* The mapped files leave this process' memory until they are looked at again: what many rows of a long run have touched does
 * not add up. Costs a few system calls. */
void pawl_data_let_go(const pawl_data *d);

/* For lineage, an object for each of datasets, then of test_datasets: {domain, path, license, weight, use: "learnt" |
 * "general" | "measured", files: [{name, bytes, sha256}], documents, tokens, trained, duplicates, rows, held_out: the same five and
 * leaked, read: {read, empty, bad, dropped, truncated, masked, toolless}; questions, where it has choices}. The counts in the object itself are
 * those of what is trained. */
PAWL_MUST pawl_status pawl_data_lineage(const pawl_data *d, json_t **out);
/* For the start screen: a line per dataset. */
void pawl_data_report(const pawl_data *d, pawl_text *out);

#ifdef __cplusplus
}
#endif
#endif
