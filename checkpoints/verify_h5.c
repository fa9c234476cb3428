#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoints/h5.h"
#include "checkpoints/verify.h"
#include "core/file.h"

enum { SECONDS = 120, MORE_BYTES = 1 << 30 };

/* In the child: what it may take beyond what the parent has, and silence of whatever reports a crash. */
static void limit_self(void)
{
    char text[64] = "";
    unsigned long pages = 0;
    const int statm = open("/proc/self/statm", O_RDONLY), nowhere = open("/dev/null", O_WRONLY);
    if (statm >= 0 && read(statm, text, sizeof text - 1) > 0 && sscanf(text, "%lu", &pages) == 1) {
        const rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + MORE_BYTES;
        (void)setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes});
    }
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    if (nowhere >= 0) (void)dup2(nowhere, STDERR_FILENO);
}

/* Lines from the child until it ends or the time is up. 1: it said all it had to say. */
static int hear(int fd, pawl_text *heard)
{
    char block[4096];
    const double until = pawl_seconds() + SECONDS;
    for (;;) {
        const double left = until - pawl_seconds();
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        const int ready = left > 0 ? poll(&wait, 1, (int)(left * 1000) + 1) : 0;
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) return 0;
        const ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n == 0;
        pawl_text_add_bytes(heard, block, (size_t)n);
    }
}

static void add_lines(pawl_findings *f, char *text)
{
    for (char *line = text, *end; line && (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = 0;
        pawl_findings_add(f, line);
    }
}

static void add_ending(pawl_findings *f, const pawl_checkpoint *k, int ended, int how)
{
    char line[PATH_MAX + 128];
    const char *what = "HDF5 fails on it";
    if (ended && WIFEXITED(how) && WEXITSTATUS(how) == 0) return;
    if (!ended)
        what = "HDF5 does not come to an end with it";
    else if (WIFSIGNALED(how))
        what = "HDF5 crashes on it";
    snprintf(line, sizeof line, "%s/%s: %s", k->path, PAWL_TENSOR_FILE, what);
    pawl_findings_add(f, line);
}

pawl_status pawl_verify_h5(const pawl_checkpoint *k, pawl_findings *f)
{
    int ends[2], how = 0;
    pawl_text heard = {.max = 1 << 24};
    PAWL_CHECK(pipe2(ends, O_CLOEXEC) == 0, PAWL_EIO, "cannot make a pipe: %s", strerror(errno));
    pawl_h5_enter(); /* no other thread is inside HDF5 when the process is copied */
    const pid_t child = fork();
    pawl_h5_leave();
    if (child == 0) {
        close(ends[0]);
        limit_self();
        pawl_compare_h5(k, ends[1]);
        _exit(0);
    }
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return PAWL_FAIL(PAWL_EIO, "cannot start a process: %s", strerror(errno));
    }
    const int ended = hear(ends[0], &heard);
    close(ends[0]);
    if (!ended) (void)kill(child, SIGKILL);
    while (waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    if (heard.data) add_lines(f, heard.data);
    add_ending(f, k, ended, how);
    pawl_text_close(&heard);
    return PAWL_OK;
}
