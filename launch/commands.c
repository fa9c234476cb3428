/* The table of subcommands, and what every one of them needs: MPI where ranks take part, errors shown once, exit codes. */
#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "launch/launch.h"

static const pawl_command *const commands[] = {
    &pawl_command_train,  &pawl_command_plan,     &pawl_command_eval, &pawl_command_generate, &pawl_command_import,
    &pawl_command_export, &pawl_command_merge, &pawl_command_config, &pawl_command_data, &pawl_command_tokenize, &pawl_command_render, &pawl_command_show, &pawl_command_log,
    &pawl_command_verify, &pawl_command_memory, &pawl_command_retention, &pawl_command_report, NULL,
};

static void help(pawl_text *out)
{
    pawl_text_add(out, "pawl %s: fine-tuning on MPI ranks that resumes to the same bits\n\nusage: pawl COMMAND ...\n\n", PAWL_VERSION);
    for (int i = 0; commands[i]; i++) pawl_text_add(out, "  %-10s%s\n", commands[i]->name, commands[i]->summary);
    pawl_text_add(out, "\nTrain on N ranks:  mpirun -n N pawl train RUN.yaml [key=value ...]\n"
                       "More of a command: pawl COMMAND --help\n"
                       "Exit status: 0 done, 10 usage or configuration, 20 data, 30 memory, 40 file system, 50 communication,\n"
                       "             60 bug, 70 a gate failed, 75 stopped on purpose or lost a rank: start again\n");
}

static void print(void (*fill)(pawl_text *out))
{
    pawl_text text = {0};
    fill(&text);
    if (text.data) fputs(text.data, stdout);
    pawl_text_close(&text);
}

static void print_help(const pawl_command *c)
{
    pawl_text text = {0};
    pawl_options_help(c, &text);
    if (text.data) fputs(text.data, stdout);
    pawl_text_close(&text);
}

static int wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return 1;
    return 0;
}

/* Open MPI, PMIx and Slurm say in the environment which rank this is, before MPI is initialised; 0 without them. */
static int rank_in_environment(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"};
    int64_t rank;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text && pawl_parse_i64(text, &rank) && rank >= 0 && rank <= INT_MAX) return (int)rank;
    }
    return 0;
}

/* A command line is the same on all ranks: the first speaks for all. The others give it time to, since mpirun ends every
 * rank when one leaves with an error. */
static int speaks_for_all(void)
{
    enum { SECONDS = 5 };
    const int first = rank_in_environment() == 0;
    if (!first) sleep(SECONDS);
    return first;
}

/* For what runs outside main's flow: a failed assertion, on any thread, and the watchdog. */
static struct {
    int rank;
    pthread_t main_thread;
} here;

/* Only the main thread speaks MPI, and only before MPI_Finalize; elsewhere this rank ends, and mpirun ends the job. */
static void abort_job(void)
{
    int finalized = 0;
    if (pthread_equal(pthread_self(), here.main_thread)) {
        MPI_Finalized(&finalized);
        if (!finalized) MPI_Abort(MPI_COMM_WORLD, PAWL_EBUG);
    }
    _exit(PAWL_EBUG);
}

/* write(2), not stdio: the main thread may hold the stream's lock, blocked on a full pipe. */
static void end_this_rank(const char *sentence)
{
    char line[512];
    const int n = snprintf(line, sizeof line, "rank %d: %s\n", here.rank, sentence);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1) < 0) _exit(PAWL_EXIT_AGAIN);
    _exit(PAWL_EXIT_AGAIN);
}

/* Facts must not be lost silently: a full disk or a closed pipe under stdout is an error of the command. */
static pawl_status flush_facts(void)
{
    PAWL_CHECK(fflush(stdout) == 0 && !ferror(stdout), PAWL_EIO, "cannot write to standard output");
    return PAWL_OK;
}

static int run_alone(const pawl_command *c, const pawl_args *a)
{
    pawl_comm *comm;
    int exit_status = 0;
    pawl_status s = pawl_comm_open_alone(&comm);
    if (s == PAWL_OK) {
        s = c->run(comm, a, &exit_status);
        pawl_comm_close(comm);
    }
    if (s == PAWL_OK) s = flush_facts();
    if (s != PAWL_OK) pawl_show_error(pawl_last_error());
    return s == PAWL_OK ? exit_status : (int)s;
}

/* An error that all ranks agreed on is shown by rank 0, and everyone leaves in order. One that a rank is alone with is
 * shown by that rank, which then ends the job: the others may be waiting for it. */
static void end_with_error(const pawl_comm *c)
{
    const pawl_error *e = pawl_last_error();
    if (c->size == 1 || !e->agreed || c->rank == 0) pawl_show_error(e);
    fflush(NULL);
    if (c->size > 1 && (!e->agreed || e->code == PAWL_ECOMM)) MPI_Abort(MPI_COMM_WORLD, e->code);
}

enum {
    START_SECONDS = 120,   /* from the first rank's start to all ranks having read the configuration */
    FINALIZE_SECONDS = 600 /* another rank may be waiting for its last fsync */
};

static int run_on_ranks(const pawl_command *c, const pawl_args *a, int argc, char **argv)
{
    pawl_comm *comm;
    int level, exit_status = 0;
    pawl_catch_signals();
    here.rank = rank_in_environment();
    if (pawl_watch_open(end_this_rank) != PAWL_OK) {
        pawl_show_error(pawl_last_error());
        return PAWL_EMEM;
    }
    pawl_watch("the ranks to start", START_SECONDS);
    if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) {
        fprintf(stderr, "pawl: MPI_Init_thread failed; start with: mpirun -n N pawl %s %s\n", c->name, c->usage);
        return PAWL_ECOMM;
    }
    here.main_thread = pthread_self();
    pawl_abort_hook = abort_job;
    pawl_status s = pawl_comm_open(&comm);
    if (s != PAWL_OK) {
        pawl_show_error(pawl_last_error());
        MPI_Abort(MPI_COMM_WORLD, s);
    }
    here.rank = comm->rank;
    pawl_log_open(comm->rank, PAWL_LOG_INFO);
    s = c->run(comm, a, &exit_status);
    if (s == PAWL_OK) s = pawl_agree(comm, flush_facts());
    if (s != PAWL_OK) end_with_error(comm);
    pawl_watch("the other ranks to end", FINALIZE_SECONDS);
    MPI_Finalize();
    pawl_watch_close();
    pawl_comm_close(comm);
    return s == PAWL_OK ? exit_status : (int)s;
}

static int fail_before_ranks(void)
{
    if (speaks_for_all()) fprintf(stderr, "%s\n", pawl_last_error()->what);
    return PAWL_EUSAGE;
}

static int unknown_command(const char *word)
{
    const char *names[sizeof commands / sizeof *commands] = {0};
    for (int i = 0; commands[i]; i++) names[i] = commands[i]->name;
    const char *near = pawl_nearest(word, names);
    if (!speaks_for_all()) return PAWL_EUSAGE;
    fprintf(stderr, "pawl: unknown command '%s'%s%s%s; see pawl --help\n", word, near ? " (did you mean " : "", near ? near : "",
            near ? "?)" : "");
    return PAWL_EUSAGE;
}

int pawl_main(int argc, char **argv)
{
    const pawl_command *c = NULL;
    pawl_args args = {.program = argv[0]};
    if (argc < 2) {
        print(help);
        return PAWL_EUSAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print(help);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("pawl " PAWL_VERSION);
        return 0;
    }
    for (int i = 0; commands[i]; i++)
        if (strcmp(argv[1], commands[i]->name) == 0) c = commands[i];
    if (!c) return unknown_command(argv[1]);
    if (wants_help(argc - 2, argv + 2)) {
        print_help(c);
        return 0;
    }
    if (pawl_options_parse(c, argc - 2, argv + 2, &args) != PAWL_OK) return fail_before_ranks();
    return c->on_ranks ? run_on_ranks(c, &args, argc, argv) : run_alone(c, &args);
}
