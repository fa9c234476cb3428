/* Whether cuDNN itself, which needs no GPU for that, knows the graphs of attention that the CUDA backend builds: for a GPU that is
 * described in JSON it is asked how it would compute each class of shapes, and with how much workspace.
 *
 *   cudnn_support LIBRARY JSON      exit 77 where there is no such library */
#include <stdio.h>
#include <string.h>

#include "core/arena.h"
#include "core/file.h"
#include "ops/cuda/cudnn.h"

static int failures;

static void expect(int holds, const pawl_sdpa *s, int ways, int64_t bytes)
{
    if (holds) return;
    failures++;
    printf("FAILED %s %s: %ld sequences of %ld, %ld of %ld heads over %ld, size %ld, window %ld: %d ways, %ld bytes of at most %ld\n",
           s->packed ? "packed" : "dense", s->backward ? "backward" : "forward", (long)s->sequences, (long)s->tokens, (long)s->heads,
           (long)s->all_heads, (long)s->kv_heads, (long)s->head_dim, (long)s->window, ways, (long)bytes, (long)pawl_sdpa_workspace_bytes(s));
}

static void ask(const pawl_cudnn *c, const pawl_sdpa *s, int known)
{
    pawl_graph g;
    int ways = 0;
    int64_t bytes = 0;
    pawl_sdpa_build(c, s, &g);
    if (pawl_graph_ways(&g, &ways, &bytes) != PAWL_OK) {
        printf("FAILED %s\n", pawl_last_error()->what);
        failures++;
    }
    pawl_graph_close(&g);
    expect(known ? ways > 0 && bytes <= pawl_sdpa_workspace_bytes(s) : ways == 0, s, ways, bytes);
}

/* Both directions, both forms, with and without a window. */
static int ask_all(const pawl_cudnn *c, pawl_sdpa s, int known)
{
    for (int kind = 0; kind < 8; kind++) {
        s.backward = kind & 1;
        s.packed = kind >> 1 & 1;
        s.window = kind & 4 ? 256 : 0;
        ask(c, &s, known);
    }
    return 8;
}

static int ask_sizes(const pawl_cudnn *c)
{
    static const int64_t sizes[] = {32, 40, 64, 80, 96, 128, 192, 256}, kv_heads[] = {32, 8, 1};
    int asked = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof kv_heads / sizeof *kv_heads; k++)
            asked += ask_all(c, (pawl_sdpa){.sequences = 4, .tokens = 1024, .heads = 32, .kv_heads = kv_heads[k], .head_dim = sizes[i],
                                            .all_heads = 32, .all_kv_heads = kv_heads[k]}, 1);
    return asked;
}

/* Odd lengths, one token, many short sequences, some of the heads. */
static int ask_odd(const pawl_cudnn *c)
{
    static const pawl_sdpa odd[] = {
        {.sequences = 3, .tokens = 1000, .heads = 12, .kv_heads = 12, .head_dim = 64, .all_heads = 12, .all_kv_heads = 12},
        {.sequences = 1, .tokens = 37, .heads = 9, .kv_heads = 3, .head_dim = 64, .all_heads = 9, .all_kv_heads = 3},
        {.sequences = 1, .tokens = 1, .heads = 4, .kv_heads = 2, .head_dim = 128, .all_heads = 4, .all_kv_heads = 2},
        {.sequences = 256, .tokens = 128, .heads = 32, .kv_heads = 8, .head_dim = 128, .all_heads = 32, .all_kv_heads = 8},
        {.sequences = 1, .tokens = 8192, .heads = 4, .kv_heads = 1, .head_dim = 128, .all_heads = 32, .all_kv_heads = 8},
        {.sequences = 1, .tokens = 32768, .heads = 1, .kv_heads = 1, .head_dim = 128, .all_heads = 16, .all_kv_heads = 16},
    };
    int asked = 0;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) asked += ask_all(c, odd[i], 1);
    return asked;
}

int main(int argc, char **argv)
{
    char *json;
    size_t bytes;
    pawl_cudnn c;
    if (argc != 3) return 2;
    if (strstr(argv[1], "NOTFOUND")) {
        printf("cudnn_support: skipped, cuDNN or the toolkit's stub of the driver is not here: graphs were computed by a stand-in only\n");
        return 77;
    }
    if (pawl_file_read(argv[2], 1 << 16, &json, &bytes) != PAWL_OK || pawl_cudnn_open_described(argv[1], json, &c) != PAWL_OK) {
        printf("FAILED %s\n", pawl_last_error()->what);
        return 1;
    }
    const int asked = ask_sizes(&c) + ask_odd(&c);
    /* What it does not know: heads of a size that is no multiple of 8. */
    ask_all(&c, (pawl_sdpa){.sequences = 4, .tokens = 1024, .heads = 32, .kv_heads = 8, .head_dim = 100, .all_heads = 32, .all_kv_heads = 8}, 0);
    char version[32];
    pawl_cudnn_describe(&c, version, sizeof version);
    printf("%s: %d graphs, %d failures\n", version, asked, failures);
    pawl_cudnn_close(&c);
    pawl_free(json);
    return failures > 0;
}
