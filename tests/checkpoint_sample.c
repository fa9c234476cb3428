/* The sample state as a program, for tests from outside and in several runs (mpirun -n N checkpoint_sample ...).
 *
 *   write DIR STEP...   saves it as each of these steps, generation = step, going on from what DIR holds
 *   read DIR            reads the newest one on every rank and compares it with its generation
 *   dump DIR            writes its tensors as DIR/NAME.bin ('/' as '_'), of generation 1 */
#include "tests/checkpoint_sample.h"

#include <mpi.h>
#include <stdlib.h>

#include "core/file.h"

static pawl_status save_all(pawl_comm *c, const char *dir, sample *s, char **steps)
{
    pawl_saver *saver;
    pawl_checkpoint *k = NULL;
    char path[1024];
    int64_t lost;
    int published;
    PAWL_TRY(pawl_saver_open(c, dir, &s->state, 0, &saver));
    PAWL_TRY(pawl_checkpoint_find(dir, 0, path, sizeof path, &lost));
    if (path[0]) {
        PAWL_TRY(pawl_checkpoint_open(path, &k));
        PAWL_TRY(pawl_saver_resume(saver, k));
        pawl_checkpoint_close(k);
    }
    for (; *steps; steps++) {
        const int step = (int)strtol(*steps, NULL, 10);
        sample_fill(s, step);
        PAWL_TRY(sample_save(saver, step, 0, &published));
    }
    pawl_saver_close(saver);
    return PAWL_OK;
}

static pawl_status read_newest(const char *dir, sample *s)
{
    pawl_checkpoint *k;
    sample expected;
    PAWL_TRY(pawl_checkpoint_open(dir, &k));
    PAWL_CHECK(sample_open(&expected, 0, SAMPLE_ROWS, (int)pawl_checkpoint_step(k)), PAWL_EMEM, "no memory");
    PAWL_TRY(pawl_checkpoint_read(k, &s->state));
    PAWL_CHECK(sample_same(s, &expected), PAWL_EDATA, "%s holds other numbers", pawl_checkpoint_path(k));
    pawl_checkpoint_close(k);
    sample_close(&expected);
    return PAWL_OK;
}

static pawl_status dump(const char *dir, const sample *s)
{
    for (int i = 0; i < s->state.count; i++) {
        const pawl_named *item = &s->state.items[i];
        char path[1024];
        snprintf(path, sizeof path, "%s/%s.bin", dir, item->name);
        for (char *p = path + strlen(dir) + 1; *p; p++)
            if (*p == '/') *p = '_';
        PAWL_TRY(pawl_file_replace(path, item->tensor.data, pawl_tensor_bytes(item->tensor)));
    }
    return PAWL_OK;
}

static pawl_status run(pawl_comm *c, int argc, char **argv)
{
    sample s;
    PAWL_CHECK(argc >= 3, PAWL_EUSAGE, "checkpoint_sample write|read|dump DIR [STEP...]");
    PAWL_CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1), PAWL_EMEM, "no memory");
    pawl_status status = strcmp(argv[1], "write") == 0  ? save_all(c, argv[2], &s, argv + 3)
                         : strcmp(argv[1], "read") == 0 ? read_newest(argv[2], &s)
                                                        : dump(argv[2], &s);
    sample_close(&s);
    return status;
}

int main(int argc, char **argv)
{
    int level;
    pawl_comm *c;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
    pawl_status status = pawl_comm_open(&c);
    if (status == PAWL_OK) status = pawl_agree(c, run(c, argc, argv));
    if (status != PAWL_OK) fprintf(stderr, "%s\n", pawl_last_error()->what);
    pawl_comm_close(c);
    MPI_Finalize();
    return (int)status;
}
