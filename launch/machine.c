#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "launch/launch.h"

/* Whole cores that a control group grants this machine's processes together; many when there is no quota. */
static int quota(void)
{
    char *text;
    size_t bytes;
    double most, period;
    if (pawl_file_read("/sys/fs/cgroup/cpu.max", 4096, &text, &bytes) != PAWL_OK) return CPU_SETSIZE;
    const int limited = sscanf(text, "%lf %lf", &most, &period) == 2 && period > 0;
    pawl_free(text);
    return limited ? (int)(most / period + 0.999) : CPU_SETSIZE;
}

/* Ranks with the same set of cores share it; ranks bound to cores of their own do not. */
pawl_status pawl_threads_here(pawl_comm *c, int64_t asked, int *threads)
{
    typedef struct { cpu_set_t cores; int32_t machine; } seat;
    seat mine, *all;
    int sharing = 0;
    memset(&mine, 0, sizeof mine);
    mine.machine = c->machine;
    if (sched_getaffinity(0, sizeof mine.cores, &mine.cores) != 0) CPU_SET(0, &mine.cores);
    PAWL_TRY(pawl_agree(c, pawl_alloc((void **)&all, (size_t)c->size * sizeof *all, "the ranks' cores")));
    pawl_status s = pawl_allgather(c, &mine, sizeof mine, all);
    for (int r = 0; s == PAWL_OK && r < c->size; r++)
        sharing += all[r].machine == mine.machine && CPU_EQUAL(&all[r].cores, &mine.cores);
    pawl_free(all);
    PAWL_TRY(s);
    const int bound = CPU_COUNT(&mine.cores) / (sharing > 0 ? sharing : 1), granted = quota() / (c->local_size > 0 ? c->local_size : 1);
    const int share = bound < granted ? bound : granted;
    *threads = asked > 0 ? (int)asked : share > 0 ? share : 1;
    return PAWL_OK;
}

void pawl_cache_folder(char *out, size_t room)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;
    out[0] = 0;
    if (cache && cache[0] == '/') n = snprintf(out, room, "%s/pawl/prepared", cache);
    else if (home && home[0] == '/') n = snprintf(out, room, "%s/.cache/pawl/prepared", home);
    if (n < 0 || (size_t)n >= room) out[0] = 0;
}

int pawl_on_terminal(void)
{
    char link[64], target[64];
    if (isatty(STDERR_FILENO)) return 1;
    if (!getenv("OMPI_COMM_WORLD_RANK")) return 0; /* a pipe or a file that somebody else reads */
    snprintf(link, sizeof link, "/proc/%ld/fd/2", (long)getppid());
    const ssize_t n = readlink(link, target, sizeof target - 1);
    if (n <= 0) return 0;
    target[n] = 0;
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    pawl_stop_asked = 1;
}

/* The handler has a stack of its own: oneDNN's matrix products run with the stack pointer inside a heap block, and a signal
 * frame pushed there would overwrite what lies before it. Signals are blocked in all other threads. */
static char handler_stack[1 << 16];

void pawl_catch_signals(void)
{
    const stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    struct sigaction action;
    sigaltstack(&stack, NULL);
    memset(&action, 0, sizeof action);
    action.sa_handler = ask_to_stop;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

pawl_status pawl_require_empty(const char *dir, const char *verb)
{
    char **names;
    int count;
    if (!pawl_path_exists(dir)) return PAWL_OK;
    PAWL_TRY(pawl_dir_list(dir, &names, &count));
    pawl_free(names);
    PAWL_CHECK(count == 0, PAWL_EUSAGE, "%s is not empty: %s into a new folder", dir, verb);
    return PAWL_OK;
}
