/* What replayed rows cost beside new ones: drawing, fetching from their owners and putting into batches, by processor time.
 *
 *     mpirun -n 2 build/release/tests/bench/memory [ROWS_OF_MEMORY [TOKENS_OF_ROW [ROWS_OF_STEP]]]
 *
 * A quarter of a step's rows comes from the memory; the others, for comparison, from the data. Last line a storage:
 * `STORAGE new N ns/token replayed N ns/token step +N us`: processor time of all ranks a token, and what the step takes longer than
 * with new rows alone. */
#include <mpi.h>
#include <stdlib.h>
#include <time.h>

#include "core/batch.h"
#include "core/rng.h"
#include "tests/data_case.h"
#include "trainer/continual/memory.h"

enum { STEPS = 200 };

typedef struct bench {
    pawl_comm *comm;
    data_case k;
    pawl_data *data;
    pawl_replay_config replay;
    int64_t rows, tokens, step_rows;
    pawl_batch batch;
    pawl_arena arena;
} bench;

/* Of this process. */
static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double of_all(const bench *b, double mine)
{
    double all;
    MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    (void)b;
    return all;
}

static int all_seen(void *self, int dataset, int64_t row, double *loss)
{
    (void)self, (void)dataset, (void)row;
    *loss = 1;
    return 1;
}

/* Texts that fill about as many rows as the memory has, twice. */
static void write_texts(const bench *b)
{
    pawl_text file = {0};
    for (int64_t i = 0; b->comm->rank == 0 && i < 2 * b->rows; i++) {
        pawl_text_add(&file, "{\"text\": \"");
        for (int64_t n = 0; n < b->tokens / 8; n++)
            pawl_text_add(&file, "%08x", (unsigned)pawl_random_at(1, PAWL_FOR_TEST, (uint64_t)i, (uint64_t)n).word[0]);
        pawl_text_add(&file, "\"}\n");
    }
    if (b->comm->rank == 0) put_bytes(&b->k, "texts.jsonl", file.data, file.bytes);
    pawl_text_close(&file);
}

static void open_bench(bench *b, int argc, char **argv)
{
    char dir[64] = "/tmp/pawl-bench-memory-XXXXXX";
    int stopped;
    must(pawl_comm_open(&b->comm));
    b->rows = argc > 1 ? strtoll(argv[1], NULL, 10) : 2000;
    b->tokens = argc > 2 ? strtoll(argv[2], NULL, 10) : 512;
    b->step_rows = argc > 3 ? strtoll(argv[3], NULL, 10) : 16;
    if (b->comm->rank == 0 && !mkdtemp(dir)) MPI_Abort(MPI_COMM_WORLD, 1);
    must(pawl_bcast(b->comm, dir, sizeof dir, 0));
    data_case_open_at(&b->k, dir, b->tokens);
    write_texts(b);
    learn(&b->k, "texts.jsonl");
    must(open_on(b->comm, &b->k, &b->data, &stopped));
    pawl_fields_default(pawl_replay_rows, &b->replay);
    b->replay.capacity = b->rows;
    batch_open(&b->arena, &b->batch, b->step_rows, b->tokens);
}

/* Rows of the data that this rank fills in a step: its share of `rows`. */
static double new_rows(bench *b, int64_t rows)
{
    const int rank = b->comm->rank, size = b->comm->size;
    const int64_t all = pawl_data_rows_of(b->data, PAWL_TRAIN, 0);
    const double began = cpu_seconds();
    for (int64_t step = 0; step < STEPS; step++)
        for (int64_t g = rows * rank / size; g < rows * (rank + 1) / size; g++) {
            const pawl_row r = {0, (step * rows + g) * 7919 % all};
            pawl_slot_fill(b->data, PAWL_TRAIN, &r, 1, &b->batch);
        }
    return of_all(b, cpu_seconds() - began);
}

static double replayed_rows(bench *b, pawl_memory *m, int64_t rows)
{
    const int rank = b->comm->rank, size = b->comm->size;
    pawl_wanted *list;
    must(pawl_alloc((void **)&list, (size_t)rows * sizeof *list, "a list"));
    must(pawl_memory_reserve(m, rows, rows));
    const double began = cpu_seconds();
    for (int64_t step = 0; step < STEPS; step++) {
        for (int64_t g = 0; g < rows; g++) list[g] = (pawl_wanted){pawl_memory_draw(m, step, g, PAWL_DRAW_REPLAY), (int)(g * size / rows)};
        must(pawl_memory_fetch(m, list, rows));
        for (int64_t g = 0; g < rows; g++) {
            if (list[g].to != rank) continue;
            const pawl_row_tokens t = pawl_memory_row(m, g);
            b->batch.tokens = b->tokens;
            pawl_row_put(&t, &b->batch, 0);
        }
    }
    const double seconds = of_all(b, cpu_seconds() - began);
    pawl_free(list);
    return seconds;
}

static void measure_storage(bench *b, int storage)
{
    enum { ROUNDS = 5 };
    static const char *const names[] = {"ram", "disk"};
    pawl_memory *m;
    const int64_t rows = b->step_rows / 4 ? b->step_rows / 4 : 1;
    b->replay.storage = storage;
    const pawl_memory_inputs in = {.comm = b->comm, .replay = &b->replay, .seed = 1, .output_dir = b->k.dir, .longest = b->tokens};
    must(pawl_memory_open(&in, &m));
    const double began = cpu_seconds();
    must(pawl_memory_absorb(m, &(pawl_seen){.data = b->data, .was_seen = all_seen, .end = 1}));
    const double absorbed = of_all(b, cpu_seconds() - began);
    double fresh = 1e30, again = 1e30;
    for (int i = 0; i < ROUNDS; i++) {
        const double n = new_rows(b, rows), r = replayed_rows(b, m, rows);
        fresh = n < fresh ? n : fresh;
        again = r < again ? r : again;
    }
    const double tokens = (double)(STEPS * rows * b->tokens);
    if (b->comm->rank == 0)
        printf("%s memory of %lld rows, absorbed in %.3f s; %d ranks, %lld of %lld rows\n%s new %.2f ns/token replayed %.2f ns/token step %+.1f us\n",
               names[storage], (long long)pawl_memory_count(m), absorbed, b->comm->size, (long long)rows, (long long)b->step_rows, names[storage],
               1e9 * fresh / tokens, 1e9 * again / tokens, 1e6 * (again - fresh) / STEPS);
    pawl_memory_close(m);
}

int main(int argc, char **argv)
{
    static bench b;
    int level;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    open_bench(&b, argc, argv);
    for (int storage = 0; storage < 2; storage++) measure_storage(&b, storage);
    pawl_data_close(b.data);
    pawl_arena_close(&b.arena);
    must(pawl_barrier(b.comm));
    if (b.comm->rank == 0) data_case_close(&b.k);
    MPI_Finalize();
    return 0;
}
