#include "core/hash.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

#include "core/arena.h"

struct pawl_hash {
    EVP_MD_CTX *evp;
};

pawl_status pawl_hash_open(pawl_hash **out)
{
    pawl_hash *h;
    PAWL_TRY(pawl_alloc((void **)&h, sizeof *h, "a digest"));
    h->evp = EVP_MD_CTX_new();
    if (!h->evp || EVP_DigestInit_ex(h->evp, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(h->evp);
        pawl_free(h);
        return PAWL_FAIL(PAWL_EMEM, "no memory for a digest");
    }
    *out = h;
    return PAWL_OK;
}

void pawl_hash_add(pawl_hash *h, const void *data, size_t bytes)
{
    PAWL_ASSERT(EVP_DigestUpdate(h->evp, data, bytes) == 1);
}

pawl_digest pawl_hash_close(pawl_hash *h)
{
    pawl_digest d;
    PAWL_ASSERT(EVP_DigestFinal_ex(h->evp, d.byte, NULL) == 1);
    EVP_MD_CTX_free(h->evp);
    pawl_free(h);
    return d;
}

pawl_digest pawl_sha256(const void *data, size_t bytes)
{
    pawl_digest d;
    SHA256(data, bytes, d.byte);
    return d;
}

pawl_hex pawl_digest_hex(pawl_digest d)
{
    static const char digits[] = "0123456789abcdef";
    pawl_hex h = {{0}};
    for (int i = 0; i < 32; i++) {
        h.text[2 * i] = digits[d.byte[i] >> 4];
        h.text[2 * i + 1] = digits[d.byte[i] & 15];
    }
    return h;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

pawl_status pawl_digest_parse(const char *hex, pawl_digest *out)
{
    pawl_digest d;
    PAWL_CHECK(hex && strlen(hex) == 64, PAWL_EDATA, "expected a SHA-256 of 64 hex digits, found '%.80s'", hex ? hex : "");
    for (int i = 0; i < 32; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        PAWL_CHECK(high >= 0 && low >= 0, PAWL_EDATA, "expected a SHA-256 in lower-case hex, found '%s'", hex);
        d.byte[i] = (uint8_t)(high << 4 | low);
    }
    *out = d;
    return PAWL_OK;
}

int pawl_digest_equal(pawl_digest a, pawl_digest b)
{
    return memcmp(a.byte, b.byte, sizeof a.byte) == 0;
}

int64_t pawl_chunk_count(size_t bytes)
{
    return (int64_t)((bytes + PAWL_CHUNK_BYTES - 1) / PAWL_CHUNK_BYTES);
}

pawl_digest pawl_chunks_digest(const pawl_digest *chunks, int64_t count)
{
    return pawl_sha256(chunks, (size_t)count * sizeof *chunks);
}

pawl_digest pawl_tensor_digest(const void *data, size_t bytes)
{
    EVP_MD_CTX *evp = EVP_MD_CTX_new();
    pawl_digest whole;
    PAWL_ASSERT(evp && EVP_DigestInit_ex(evp, EVP_sha256(), NULL) == 1);
    for (size_t at = 0; at < bytes; at += PAWL_CHUNK_BYTES) {
        const size_t n = bytes - at < PAWL_CHUNK_BYTES ? bytes - at : PAWL_CHUNK_BYTES;
        const pawl_digest d = pawl_sha256((const char *)data + at, n);
        PAWL_ASSERT(EVP_DigestUpdate(evp, d.byte, sizeof d.byte) == 1);
    }
    PAWL_ASSERT(EVP_DigestFinal_ex(evp, whole.byte, NULL) == 1);
    EVP_MD_CTX_free(evp);
    return whole;
}
