/* trainer/continual/sketch.h - which rows a memory keeps: a sample by keys (bottom-k), and nothing else.
 *
 * Every row has a key, a pseudo-random number made of (seed, domain, content of its first document, chunk). Of a domain, the rows
 * with the smallest keys are kept. So what is kept is a uniform sample without replacement of what was seen, a function of the
 * set alone: not of ranks, of the order of arrival, or of how it was cut into batches. Union and cut are associative, commutative
 * and idempotent. A smaller quota drops the largest keys; a bound stays behind ("below it, all rows seen are here"), and rows that
 * come later enter below the bound only, so that the sample is uniform whatever quotas did.
 * Sources: Cohen and Kaplan 2007 (bottom-k sketches); Efraimidis and Spirakis 2006 (weights); Huebschle-Schneider and Sanders 2019. */
#ifndef PAWL_TRAINER_CONTINUAL_SKETCH_H
#define PAWL_TRAINER_CONTINUAL_SKETCH_H

#include <stdint.h>

#include "core/status.h"

enum { PAWL_DOCUMENT_BYTES = 16 };

/* A row of a memory, as every rank knows it: the columns of the tensor memory/rows, in this order. */
typedef struct pawl_kept {
    uint64_t key;
    int64_t domain; /* in the memory's order of domains */
    uint64_t document[2]; /* its first document's content digest, first bytes highest */
    int64_t chunk;        /* which chunk of that document it begins with */
    int64_t tokens, trained, bytes, segments;
} pawl_kept;
enum { PAWL_KEPT_COLUMNS = 9 };

/* A candidate and where its numbers are. */
typedef struct pawl_candidate {
    pawl_kept kept;
    int64_t item;    /* its place in the memory so far; -1: a new row, ... */
    int32_t dataset; /* ... this one */
    int64_t row;
} pawl_candidate;

/* Bytes of a digest as two numbers that compare as the bytes do. */
void pawl_document_number(const uint8_t byte[PAWL_DOCUMENT_BYTES], uint64_t out[2]);

/* The key of a row: the first 64 bits of SHA-256 over seed, domain name, document and chunk. */
uint64_t pawl_memory_key(uint64_t seed, const char *domain, const uint64_t document[2], int64_t chunk);
/* The same for a row that is to be kept `weight` times as likely: -ln(u) / weight with u from key, as bits that compare as the
 * numbers do. A weight that is not above zero counts as the smallest. */
uint64_t pawl_memory_weighted_key(uint64_t key, double weight);

/* Candidates of one domain (or of all), of which `limit` with the smallest (key, document, chunk) are wanted. Start as {.limit = k}. */
typedef struct pawl_sketch {
    pawl_candidate *items;
    int64_t count, room, limit;
} pawl_sketch;
/* Takes no more memory than for twice the limit. Errors: EMEM. */
PAWL_MUST pawl_status pawl_sketch_add(pawl_sketch *s, const pawl_candidate *c);
/* Sorts; of rows with the same domain, document and chunk one stays, that with the smallest key (among equal ones: the one in the
 * memory, then the first row); cuts to the limit. *bound becomes the key of the first that is left out, when that is smaller. */
void pawl_sketch_cut(pawl_sketch *s, uint64_t *bound);
void pawl_sketch_close(pawl_sketch *s);
/* The order of a memory's rows: domain, key, document, chunk. */
int pawl_kept_compare(const void *a, const void *b);

/* How many rows each of `count` domains keeps of the available ones. fixed[i] >= 0 is domain i's own capacity; the others share what
 * is left of the capacity equally, and what one does not need goes to the rest. The sum is the capacity, when there are so many rows
 * for those that share. Quotas of domains only fall as others come. */
void pawl_memory_quotas(const int64_t *available, const int64_t *fixed, int count, int64_t capacity, int64_t *quota);

/* Draw number g of step `step` for use `use`, from domains with so many rows that lie one after the other: a domain by the weights
 * (NULL: every row is as likely as any other, whatever its domain), then one of its rows. A pure function: no state, no messages. -1:
 * there are no rows. */
int64_t pawl_memory_pick(uint64_t seed, int64_t step, int64_t g, int use, const int64_t *rows, const double *weights, int count);

#endif
