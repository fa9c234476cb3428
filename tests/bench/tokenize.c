/* Speed of a tokenizer on one core: MB of text a second, over all of the files, each encoded as one text.
 *
 *   build/release/tests/bench/tokenize DIR FILE...      last line: "MB/s: X  tokens/s: Y  tokens: N  open: S s"
 *
 * tests/bench/tokenizer_speed.py runs this and, where it is installed, Hugging Face's tokenizers on the same texts. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/arena.h"
#include "core/file.h"
#include "data/data.h"

enum { ROUNDS = 5 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(pawl_status s)
{
    if (s == PAWL_OK) return;
    fprintf(stderr, "%s\n", pawl_last_error()->what);
    exit(s);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: tokenize DIR FILE...\n");
        return PAWL_EUSAGE;
    }
    const int files = argc - 2;
    char **text = calloc((size_t)files, sizeof *text);
    size_t *bytes = calloc((size_t)files, sizeof *bytes), all = 0;
    double seconds[ROUNDS];
    int64_t tokens = 0;
    pawl_tokenizer *t;
    pawl_encoding e = {0};
    const double start = now();
    must(pawl_tokenizer_open(argv[1], &t));
    const double open = now() - start;
    for (int i = 0; i < files; i++) {
        must(pawl_file_read(argv[2 + i], (size_t)1 << 30, &text[i], &bytes[i]));
        all += bytes[i];
    }
    for (int round = 0; round < ROUNDS; round++) {
        const double from = now();
        tokens = 0;
        for (int i = 0; i < files; i++) {
            must(pawl_encode(t, text[i], bytes[i], PAWL_WITHOUT_SPECIALS, &e));
            tokens += e.count;
        }
        seconds[round] = now() - from;
    }
    qsort(seconds, ROUNDS, sizeof *seconds, by_value);
    const double median = seconds[ROUNDS / 2];
    printf("MB/s: %.1f  tokens/s: %.0f  tokens: %lld  open: %.2f s\n", (double)all / 1e6 / median,
           (double)tokens / median, (long long)tokens, open);
    pawl_encoding_close(&e);
    pawl_tokenizer_close(t);
    for (int i = 0; i < files; i++) pawl_free(text[i]);
    free(text);
    free(bytes);
    return 0;
}
