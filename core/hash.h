/* core/hash.h - SHA-256 digests (OpenSSL), and the digest of a tensor's bytes in chunks. */
#ifndef PAWL_CORE_HASH_H
#define PAWL_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PAWL_CHUNK_BYTES = 1 << 20 }; /* tensors are hashed, written and shared out in chunks of this size */

typedef struct pawl_digest { uint8_t byte[32]; } pawl_digest;
typedef struct pawl_hex { char text[65]; } pawl_hex;

typedef struct pawl_hash pawl_hash; /* a digest in the making */

PAWL_MUST pawl_status pawl_hash_open(pawl_hash **out);
void pawl_hash_add(pawl_hash *h, const void *data, size_t bytes);
/* The digest of all that was added; h is closed. */
pawl_digest pawl_hash_close(pawl_hash *h);

pawl_digest pawl_sha256(const void *data, size_t bytes);
pawl_hex pawl_digest_hex(pawl_digest d);
/* Reads 64 lower-case hex digits. Errors: EDATA. */
PAWL_MUST pawl_status pawl_digest_parse(const char *hex, pawl_digest *out);
int pawl_digest_equal(pawl_digest a, pawl_digest b);

/* How many chunks a tensor of that many bytes has (0 for an empty one). */
int64_t pawl_chunk_count(size_t bytes);
/* The tensor's digest from those of its chunks: SHA-256 over them, in order (checkpoints.md). */
pawl_digest pawl_chunks_digest(const pawl_digest *chunks, int64_t count);
/* The same from the bytes in memory. */
pawl_digest pawl_tensor_digest(const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
